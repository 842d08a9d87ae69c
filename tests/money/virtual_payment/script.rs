//! The steps of virtual payment, generated from a seed and woven into a script of WeChat Pay.

use fastrand::Rng;

use crate::script::{Moment, Name, Script, Step, WORKED, one_of, wechat, work};

/// Players who order in the game.
const BUYERS: u8 = 2;
/// The buyers, and one who only buys in the store and may never have signed in.
pub(crate) const CUSTOMERS: u8 = 3;
/// Orders per buyer, each with its own idempotency key: two of items, a pack of coins, two spends.
const KEYS: u8 = 5;

/// The customers who never sign in after the moments.
pub(crate) type Absent = [bool; CUSTOMERS as usize];

/// One action. `nth` selects among what exists at that time, modulo its count.
#[derive(Clone, Debug)]
pub(crate) enum VirtualStep {
    /// Calls `createOrder`; the key determines what is bought.
    Order(Name),
    /// The client opens the payment sheet with what `createOrder` has answered.
    Sheet {
        name: Name,
        outcome: &'static str,
        notify: &'static str,
        is_apple: bool,
    },
    Cancel(Name),
    /// A purchase in the store outside the game.
    BuyInStore {
        customer: u8,
        product: u8,
        quantity: u8,
    },
    /// WeChat sends a held push.
    Release(u8),
    /// WeChat sends copies of a push concurrently, whether or not it was sent before.
    Repeat {
        nth: u8,
        copies: u8,
    },
    /// The payment of the nth paid order is refunded in WeChat's console, in full or in part.
    Refund {
        nth: u8,
        amount: Option<i64>,
        unnamed: bool,
    },
    SignIn(u8),
    /// Another service exchanges a code of the player, so that our session key is dead.
    ReplaceKey(u8),
    /// An operator gives coins of a spend back.
    Return {
        name: Name,
        amount: i64,
        key: u8,
    },
    /// An operator grants coins.
    Present {
        customer: u8,
        amount: i64,
        key: u8,
    },
    /// A client asks for the balance.
    Balance(u8),
}

const FAULTS: [&str; 14] = [
    r#"{"outage":"reset","outageAfter":true,"api":"vpay_spend"}"#,
    r#"{"outage":"reset","outageAfter":true,"api":"vpay_cancel_spend"}"#,
    r#"{"outage":"reset","outageAfter":true,"api":"vpay_present"}"#,
    r#"{"outage":"reset","outageAfter":true,"api":"vpay_query_order"}"#,
    r#"{"outage":"reset","outageAfter":true,"api":"vpay_balance"}"#,
    r#"{"outage":"reset","outageAfter":true,"api":"code2session"}"#,
    r#"{"errcode":-1,"errorAfter":true,"api":"vpay_spend"}"#,
    r#"{"errcode":-1,"errorAfter":true,"api":"vpay_cancel_spend"}"#,
    r#"{"errcode":-1,"errorAfter":true,"errorRate":0.5,"api":"vpay_present"}"#,
    r#"{"errcode":-1,"errorRate":0.5}"#,
    r#"{"outage":"http502","api":"vpay_query_order"}"#,
    r#"{"outage":"truncated","outageAfter":true,"api":"vpay_spend"}"#,
    r#"{"latencyMs":15}"#,
    r#"{"latencyMs":15,"latencyAfter":true}"#,
];
const SPEND_LOST: &str = FAULTS[0];

impl Script {
    /// A script of both channels: that of WeChat Pay of the same seed, with steps of virtual payment.
    pub(crate) fn of_both_channels(seed: u64) -> Self {
        let mut script = Self::of(seed);
        let mut rng = Rng::with_seed(!seed);
        let mut moments = match rng.u8(0..6) {
            0 => lost_push(&mut rng),
            1 => unclear_spend(&mut rng),
            2 => refunded_before_its_payment(&mut rng),
            _ => Vec::new(),
        };
        for mut moment in std::mem::take(&mut script.moments) {
            if let Moment::AtOnce(steps) = &mut moment {
                steps.extend((0..rng.usize(0..3)).map(|_| Step::Virtual(step(&mut rng))));
            }
            moments.push(moment);
            if rng.bool() {
                moments.push(self::moment(&mut rng));
            }
        }
        script.moments = moments;
        script.virtual_payment = Some(std::array::from_fn(|_| rng.u8(0..4) == 0));
        script
    }
}

fn moment(rng: &mut Rng) -> Moment {
    match rng.u8(0..100) {
        0..12 => Moment::Advance(one_of(rng, &[4, 15, 40, 40, 400, 1900])),
        // Beyond what WeChat remembers of a number.
        12..14 => Moment::Advance(one_of(rng, &[169_500, 180_000])),
        14..28 => wechat(match rng.u8(0..3) {
            0 => "{}",
            _ => one_of(rng, &FAULTS),
        }),
        _ => Moment::AtOnce(
            (0..rng.usize(1..5))
                .map(|_| match rng.u8(0..5) {
                    0..2 => work(rng),
                    _ => Step::Virtual(step(rng)),
                })
                .collect(),
        ),
    }
}

/// Steps that run one after the other.
fn in_turn(steps: impl IntoIterator<Item = Step>) -> impl Iterator<Item = Moment> {
    steps.into_iter().map(|step| Moment::AtOnce(vec![step]))
}

fn paid(name: Name, notify: &'static str) -> Step {
    Step::Virtual(VirtualStep::Sheet {
        name,
        outcome: "succeed",
        notify,
        is_apple: false,
    })
}

/// A beginning that random choice rarely produces: a payment without its push, and a dead session key.
fn lost_push(rng: &mut Rng) -> Vec<Moment> {
    let name = Name {
        player: rng.u8(0..BUYERS),
        key: rng.u8(0..3),
    };
    let (ordered, replaced) = (
        VirtualStep::Order(name),
        VirtualStep::ReplaceKey(name.player),
    );
    let mut moments: Vec<_> = in_turn([
        Step::Virtual(ordered),
        WORKED,
        paid(name, "never"),
        Step::Virtual(replaced),
    ])
    .collect();
    moments.push(Moment::Advance(40));
    moments.extend(in_turn([
        Step::Sweep,
        work(rng),
        WORKED,
        Step::Virtual(step(rng)),
    ]));
    moments
}

/// A second one: a spend whose answer is lost and whose session key dies; perhaps its number is forgotten.
fn unclear_spend(rng: &mut Rng) -> Vec<Moment> {
    let name = Name { player: 0, key: 3 };
    let mut moments = vec![wechat(SPEND_LOST)];
    moments.extend(in_turn([
        Step::Virtual(VirtualStep::Order(name)),
        WORKED,
        Step::Virtual(VirtualStep::ReplaceKey(0)),
    ]));
    moments.push(wechat("{}"));
    moments.push(Moment::Advance(one_of(rng, &[40, 400, 169_500, 180_000])));
    moments.extend(in_turn([Step::Sweep, WORKED, work(rng)]));
    moments
}

/// A third one: the refund is reported before its payment, perhaps without the order's number.
fn refunded_before_its_payment(rng: &mut Rng) -> Vec<Moment> {
    let name = Name { player: 1, key: 0 };
    let notify = one_of(rng, &["never", "after"]);
    let refund = VirtualStep::Refund {
        nth: 0,
        amount: one_of(rng, &[None, Some(30)]),
        unnamed: rng.bool(),
    };
    let order = Step::Virtual(VirtualStep::Order(name));
    // The newest push is that of the refund.
    let release = Step::Virtual(VirtualStep::Release(u8::from(notify == "after")));
    let steps = [
        order,
        WORKED,
        paid(name, notify),
        Step::Virtual(refund),
        release,
        WORKED,
        work(rng),
    ];
    in_turn(steps).collect()
}

/// Prefers some names over others, so that a few orders receive many steps.
fn name(rng: &mut Rng) -> Name {
    Name {
        player: rng.u8(0..BUYERS).min(rng.u8(0..BUYERS)),
        key: rng.u8(0..KEYS),
    }
}

fn step(rng: &mut Rng) -> VirtualStep {
    let (name, nth, customer) = (name(rng), rng.u8(0..8), rng.u8(0..CUSTOMERS));
    match rng.u8(0..100) {
        0..22 => VirtualStep::Order(name),
        22..44 => VirtualStep::Sheet {
            name,
            outcome: one_of(rng, &["succeed", "succeed", "failThoughPaid", "cancel"]),
            notify: one_of(rng, &["after", "after", "after", "never"]),
            is_apple: rng.u8(0..6) == 0,
        },
        44..48 => VirtualStep::Cancel(name),
        48..52 => VirtualStep::BuyInStore {
            customer,
            product: rng.u8(0..2),
            quantity: rng.u8(1..3),
        },
        52..62 => VirtualStep::Release(nth),
        62..68 => VirtualStep::Repeat {
            nth,
            copies: rng.u8(1..5),
        },
        68..75 => VirtualStep::Refund {
            nth,
            amount: one_of(rng, &[None, None, Some(1), Some(60), Some(100)]),
            unnamed: rng.bool(),
        },
        75..82 => VirtualStep::SignIn(customer),
        82..88 => VirtualStep::ReplaceKey(customer),
        88..93 => VirtualStep::Return {
            name: Name {
                key: 3 + name.key % 2,
                ..name
            },
            amount: one_of(rng, &[10, 10, 14, 3, 7]),
            key: rng.u8(0..3),
        },
        93..97 => VirtualStep::Present {
            customer,
            amount: rng.i64(1..20),
            key: rng.u8(0..3),
        },
        _ => VirtualStep::Balance(customer),
    }
}
