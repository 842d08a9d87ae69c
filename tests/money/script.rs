//! What happens in a run, thrown from a seed: moments one after the other, in each of which several
//! things happen at once.

use fastrand::Rng;

use crate::manual_worker::Death;

pub(crate) const PLAYERS: u8 = 2;
/// Orders of a player: each has its idempotency key.
const KEYS: u8 = 3;

/// One run.
pub(crate) struct Script {
    /// Throws all that is not in the moments: who gets in between whose steps.
    pub(crate) seed: u64,
    /// Whether late payments are paid back.
    pub(crate) refund_late_payments: bool,
    /// Whether callbacks that are not sent by the end are lost.
    pub(crate) lose_callbacks: bool,
    pub(crate) moments: Vec<Moment>,
}

/// What happens at the same time, or what happens to all.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    AtOnce(Vec<Step>),
    /// Time passes, seconds.
    Pass(u32),
    /// How things are from now on.
    Weather(Weather),
    /// The queue loses everything.
    Flush,
}

#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// The simulator's faults.
    pub(crate) wechat: &'static str,
    /// Whether half of what is enqueued fails.
    pub(crate) patchy_queue: bool,
    pub(crate) game_server_refuses: bool,
}

/// An order, by what is known of it beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) player: u8,
    pub(crate) key: u8,
}

/// One thing that happens. `nth` counts what there is at that time, and round again.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// `createOrder`; mostly the same for the same key.
    Create {
        name: Name,
        product: u8,
        quantity: i64,
    },
    Cancel(Name),
    /// A request that a worker has sent, and that was slow on its way, reaches WeChat.
    Arrive(Name),
    /// The player pays at WeChat.
    Pay(Name),
    /// WeChat sends a callback that it has held back.
    Release {
        name: Name,
        nth: u8,
    },
    /// WeChat sends a callback, sent or not, so many times at once.
    Repeat {
        name: Name,
        nth: u8,
        copies: u8,
    },
    /// Somebody sends one that says what is not so.
    Forge(Name, &'static str),
    /// An operator refunds.
    Refund {
        name: Name,
        amount: Option<i64>,
        quantity: Option<i64>,
        key: u8,
    },
    /// A refund comes to an end at WeChat.
    Finish {
        name: Name,
        nth: u8,
        status: &'static str,
    },
    Consume {
        player: u8,
        product: u8,
        quantity: i64,
        key: u8,
    },
    /// A worker does a job, or dies of it.
    Work {
        nth: u8,
        death: Option<Death>,
    },
    /// A worker's lease ends while it works: another does the same at the same time.
    Twice {
        nth: u8,
    },
    /// The clock asks for a sweep.
    Sweep,
}

const FORGERIES: [&str; 10] = [
    "amount",
    "currency",
    "mch",
    "app",
    "eventType",
    "apiV3Key",
    "notJson",
    "staleTimestamp",
    "unknownSerial",
    "signature",
];

const SLOW_CLOSE: &str = r#"{"latencyMs":15,"api":"pay_close"}"#;
const NO_ORDERS: &str = r#"{"outage":"reset","api":"pay_jsapi"}"#;

const FAULTS: [&str; 12] = [
    SLOW_CLOSE,
    NO_ORDERS,
    r#"{"outage":"reset","outageAfter":true,"api":"pay"}"#,
    r#"{"outage":"reset","outageAfter":true,"api":"pay_jsapi"}"#,
    r#"{"outage":"reset","outageAfter":true,"api":"pay_refund"}"#,
    r#"{"outage":"reset","outageAfter":true,"api":"pay_close"}"#,
    r#"{"outage":"truncated","outageAfter":true,"api":"pay"}"#,
    r#"{"outage":"http502","api":"pay_query"}"#,
    r#"{"payError":"SYSTEM_ERROR","errorRate":0.5,"api":"pay"}"#,
    r#"{"payError":"FREQUENCY_LIMITED","errorRate":0.5,"api":"pay"}"#,
    r#"{"latencyMs":15,"api":"pay"}"#,
    r#"{"latencyMs":15,"latencyAfter":true,"api":"pay"}"#,
];

impl Script {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let mut moments = match dice.u8(0..4) {
            0 => overtaken(&mut dice),
            1 => raced(&mut dice),
            _ => {
                let (ordered, worked) = (create(&mut dice), work(&mut dice));
                vec![Moment::AtOnce(vec![ordered]), Moment::AtOnce(vec![worked])]
            }
        };
        for _ in 0..dice.usize(10..40) {
            moments.push(moment(&mut dice));
        }
        Self {
            seed,
            refund_late_payments: dice.bool(),
            lose_callbacks: dice.bool(),
            moments,
        }
    }
}

fn one_of<T: Copy>(dice: &mut Rng, all: &[T]) -> T {
    all[dice.usize(0..all.len())]
}

fn moment(dice: &mut Rng) -> Moment {
    match dice.u8(0..100) {
        0..12 => Moment::Pass(one_of(dice, &[4, 40, 40, 400, 400, 1900, 7200])),
        12..22 => Moment::Weather(Weather {
            wechat: match dice.u8(0..3) {
                0 => "{}",
                _ => one_of(dice, &FAULTS),
            },
            patchy_queue: dice.u8(0..4) == 0,
            game_server_refuses: dice.bool(),
        }),
        22..24 => Moment::Flush,
        _ => Moment::AtOnce((0..dice.usize(1..6)).map(|_| step(dice)).collect()),
    }
}

/// A beginning that chance rarely makes: a request is overtaken by the cancellation of its order, and
/// then the player pays. Whoever works may die, and something else happens at each moment.
fn overtaken(dice: &mut Rng) -> Vec<Moment> {
    let ordered = create(dice);
    let Step::Create { name, .. } = ordered else {
        return vec![];
    };
    let mut moments = vec![
        wechat(NO_ORDERS),
        Moment::AtOnce(vec![ordered]),
        Moment::AtOnce(vec![WORKED]),
        wechat("{}"),
    ];
    for step in [
        Step::Cancel(name),
        work(dice),
        WORKED,
        Step::Arrive(name),
        Step::Pay(name),
        Step::Release { name, nth: 0 },
    ] {
        moments.push(Moment::AtOnce(vec![step, self::step(dice)]));
    }
    moments
}

/// Another: the player pays while the order is being closed at WeChat.
fn raced(dice: &mut Rng) -> Vec<Moment> {
    let ordered = create(dice);
    let Step::Create { name, .. } = ordered else {
        return vec![];
    };
    let paid = Step::Pay(name);
    vec![
        Moment::AtOnce(vec![ordered]),
        Moment::AtOnce(vec![WORKED]),
        wechat(SLOW_CLOSE),
        Moment::AtOnce(vec![Step::Cancel(name)]),
        Moment::AtOnce(vec![WORKED, WORKED, paid, step(dice)]),
        wechat("{}"),
    ]
}

const WORKED: Step = Step::Work {
    nth: 0,
    death: None,
};

fn wechat(faults: &'static str) -> Moment {
    Moment::Weather(Weather {
        wechat: faults,
        patchy_queue: false,
        game_server_refuses: false,
    })
}

/// Some more often than others, so that much happens to a few.
fn name(dice: &mut Rng) -> Name {
    Name {
        player: dice.u8(0..PLAYERS).min(dice.u8(0..PLAYERS)),
        key: dice.u8(0..KEYS).min(dice.u8(0..KEYS)),
    }
}

fn work(dice: &mut Rng) -> Step {
    Step::Work {
        nth: dice.u8(0..8),
        death: (dice.u8(0..5) < 2).then(|| Death {
            after: dice.u8(1..30),
            lingers_ms: one_of(dice, &[0, 0, 2, 10]),
        }),
    }
}

fn create(dice: &mut Rng) -> Step {
    let name = name(dice);
    // Its key says what is ordered; now and then somebody uses it for something else.
    let (product, quantity) = match dice.u8(0..12) {
        0 => (dice.u8(0..2), dice.i64(1..4)),
        _ => (name.key % 2, i64::from(name.key) / 2 + 1),
    };
    Step::Create {
        name,
        product,
        quantity,
    }
}

fn step(dice: &mut Rng) -> Step {
    let (name, nth) = (name(dice), dice.u8(0..8));
    match dice.u8(0..100) {
        0..6 => create(dice),
        6..11 => Step::Cancel(name),
        11..15 => Step::Arrive(name),
        15..24 => Step::Pay(name),
        24..28 => Step::Release { name, nth },
        28..31 => Step::Repeat {
            name,
            nth,
            copies: dice.u8(1..5),
        },
        31..33 => Step::Forge(name, one_of(dice, &FORGERIES)),
        33..38 => Step::Refund {
            name,
            amount: one_of(dice, &[None, None, Some(1), Some(60), Some(100), Some(200)]),
            quantity: one_of(dice, &[None, None, Some(0), Some(1), Some(2)]),
            key: dice.u8(0..3),
        },
        38..42 => Step::Finish {
            name,
            nth,
            status: one_of(dice, &["SUCCESS", "SUCCESS", "CLOSED", "ABNORMAL"]),
        },
        42..45 => Step::Consume {
            player: name.player,
            product: dice.u8(0..2),
            quantity: dice.i64(1..3),
            key: dice.u8(0..3),
        },
        45..48 => Step::Sweep,
        48..53 => Step::Twice { nth },
        _ => work(dice),
    }
}
