//! Counts of what happened in runs, to show that they exercised something.

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) orders: usize,
    pub(crate) paid: usize,
    pub(crate) late: usize,
    pub(crate) refunds: usize,
    pub(crate) refunded: usize,
    pub(crate) closed: usize,
    pub(crate) dead_letters: usize,
    /// Orders paid through virtual payment, in the game and in the store.
    pub(crate) virtual_paid: usize,
    /// Those of the store.
    pub(crate) store: usize,
    /// Spends of coins.
    pub(crate) spent: usize,
    /// Returns of spent coins.
    pub(crate) returned: usize,
    /// Presents of coins.
    pub(crate) presented: usize,
    /// Orders and changes of coins whose player never came back.
    pub(crate) waiting: usize,
    /// Changes of coins that an operator decided.
    pub(crate) decided: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.orders += other.orders;
        self.paid += other.paid;
        self.late += other.late;
        self.refunds += other.refunds;
        self.refunded += other.refunded;
        self.closed += other.closed;
        self.dead_letters += other.dead_letters;
        self.virtual_paid += other.virtual_paid;
        self.store += other.store;
        self.spent += other.spent;
        self.returned += other.returned;
        self.presented += other.presented;
        self.waiting += other.waiting;
        self.decided += other.decided;
    }
}
