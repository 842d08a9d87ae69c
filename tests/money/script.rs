//! The script of a run, generated from a seed: consecutive moments, in each of which several steps run
//! concurrently.

use fastrand::Rng;

use crate::manual_worker::Crash;
use crate::virtual_payment::script::{Absent, VirtualStep};

pub(crate) const PLAYERS: u8 = 2;
/// Orders per player, each with its own idempotency key.
const KEYS: u8 = 3;

/// The events of one run.
pub(crate) struct Script {
    /// Also seeds the run's own choices, such as how tasks interleave.
    pub(crate) seed: u64,
    /// Whether late payments are refunded instead of granted.
    pub(crate) refund_late_payments: bool,
    /// Whether callbacks still held at the end are lost.
    pub(crate) lose_callbacks: bool,
    /// The players who never sign in after the moments, in scripts of both channels.
    pub(crate) virtual_payment: Option<Absent>,
    pub(crate) moments: Vec<Moment>,
}

/// Concurrent steps, or a change that affects everything.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    AtOnce(Vec<Step>),
    /// Time advances, in seconds.
    Advance(u32),
    /// Faults from now on.
    Conditions(Conditions),
    /// The queue loses all jobs and idempotency keys.
    Flush,
}

#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// Faults of the simulator, as JSON for its control API.
    pub(crate) wechat: &'static str,
    /// Whether half of all `enqueue` calls fail.
    pub(crate) flaky_queue: bool,
    pub(crate) game_server_refuses: bool,
}

/// Identifies an order before it has an id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) player: u8,
    pub(crate) key: u8,
}

/// One action. `nth` selects among what exists at that time, modulo its count.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Calls `createOrder`; a key usually has the same body.
    Create {
        name: Name,
        product: u8,
        quantity: i64,
    },
    Cancel(Name),
    /// A delayed order request reaches WeChat.
    Arrive(Name),
    /// The player pays at WeChat.
    Pay(Name),
    /// WeChat sends a held callback.
    Release {
        name: Name,
        nth: u8,
    },
    /// WeChat sends copies of a callback concurrently, whether or not it was sent before.
    Repeat {
        name: Name,
        nth: u8,
        copies: u8,
    },
    /// A forged or contradicting callback arrives.
    Forge(Name, &'static str),
    /// An operator requests a refund.
    Refund {
        name: Name,
        amount: Option<i64>,
        quantity: Option<i64>,
        key: u8,
    },
    /// A refund reaches a final state at WeChat.
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
    /// A worker runs a job, or crashes while running it.
    Work {
        nth: u8,
        crash: Option<Crash>,
    },
    /// A worker's lease expires while it works, so that another runs the same job concurrently.
    Twice {
        nth: u8,
    },
    /// The scheduler enqueues a sweep.
    Sweep,
    /// Something that concerns virtual payment.
    Virtual(VirtualStep),
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
        let mut rng = Rng::with_seed(seed);
        let mut moments = match rng.u8(0..5) {
            0 => overtaken(&mut rng),
            1 => raced(&mut rng),
            2 => used_while_cancelled(&mut rng),
            _ => {
                let (ordered, worked) = (create(&mut rng), work(&mut rng));
                vec![Moment::AtOnce(vec![ordered]), Moment::AtOnce(vec![worked])]
            }
        };
        for _ in 0..rng.usize(10..40) {
            moments.push(moment(&mut rng));
        }
        Self {
            seed,
            refund_late_payments: rng.bool(),
            lose_callbacks: rng.bool(),
            virtual_payment: None,
            moments,
        }
    }
}

pub(crate) fn one_of<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(0..all.len())]
}

fn moment(rng: &mut Rng) -> Moment {
    match rng.u8(0..100) {
        0..12 => Moment::Advance(one_of(rng, &[4, 40, 40, 400, 400, 1900, 7200])),
        12..22 => Moment::Conditions(Conditions {
            wechat: match rng.u8(0..3) {
                0 => "{}",
                _ => one_of(rng, &FAULTS),
            },
            flaky_queue: rng.u8(0..4) == 0,
            game_server_refuses: rng.bool(),
        }),
        22..24 => Moment::Flush,
        _ => Moment::AtOnce((0..rng.usize(1..6)).map(|_| step(rng)).collect()),
    }
}

/// A beginning that random choice rarely produces: the cancellation overtakes the request of its order,
/// and then the player pays. Workers may crash, and a random step runs in each moment.
fn overtaken(rng: &mut Rng) -> Vec<Moment> {
    let ordered = create(rng);
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
        work(rng),
        WORKED,
        Step::Arrive(name),
        Step::Pay(name),
        Step::Release { name, nth: 0 },
    ] {
        moments.push(Moment::AtOnce(vec![step, self::step(rng)]));
    }
    moments
}

/// A second such beginning: the player pays while the order is being closed at WeChat.
fn raced(rng: &mut Rng) -> Vec<Moment> {
    let ordered = create(rng);
    let Step::Create { name, .. } = ordered else {
        return vec![];
    };
    let paid = Step::Pay(name);
    vec![
        Moment::AtOnce(vec![ordered]),
        Moment::AtOnce(vec![WORKED]),
        wechat(SLOW_CLOSE),
        Moment::AtOnce(vec![Step::Cancel(name)]),
        Moment::AtOnce(vec![WORKED, WORKED, paid, step(rng)]),
        wechat("{}"),
    ]
}

/// A third one: the player cancels, pays and uses the items at the same time.
fn used_while_cancelled(rng: &mut Rng) -> Vec<Moment> {
    let ordered = create(rng);
    let Step::Create { name, product, .. } = ordered else {
        return vec![];
    };
    let consume = |key| Step::Consume {
        player: name.player,
        product,
        quantity: 1,
        key,
    };
    let release = Step::Release { name, nth: 0 };
    vec![
        Moment::AtOnce(vec![ordered]),
        Moment::AtOnce(vec![WORKED]),
        wechat(SLOW_CLOSE),
        Moment::AtOnce(vec![Step::Cancel(name), Step::Pay(name)]),
        Moment::AtOnce(vec![WORKED, release, consume(0), work(rng)]),
        Moment::AtOnce(vec![WORKED, consume(1), WORKED, consume(2), step(rng)]),
        wechat("{}"),
    ]
}

pub(crate) const WORKED: Step = Step::Work {
    nth: 0,
    crash: None,
};

pub(crate) fn wechat(faults: &'static str) -> Moment {
    Moment::Conditions(Conditions {
        wechat: faults,
        flaky_queue: false,
        game_server_refuses: false,
    })
}

/// Prefers some names over others, so that a few orders receive many steps.
fn name(rng: &mut Rng) -> Name {
    Name {
        player: rng.u8(0..PLAYERS).min(rng.u8(0..PLAYERS)),
        key: rng.u8(0..KEYS).min(rng.u8(0..KEYS)),
    }
}

pub(crate) fn work(rng: &mut Rng) -> Step {
    Step::Work {
        nth: rng.u8(0..8),
        crash: (rng.u8(0..5) < 2).then(|| Crash {
            after: rng.u8(1..30),
            lingers_ms: one_of(rng, &[0, 0, 2, 10]),
        }),
    }
}

fn create(rng: &mut Rng) -> Step {
    let name = name(rng);
    // The key determines the body; now and then a key is reused with another one.
    let (product, quantity) = match rng.u8(0..12) {
        0 => (rng.u8(0..2), rng.i64(1..4)),
        _ => (name.key % 2, i64::from(name.key) / 2 + 1),
    };
    Step::Create {
        name,
        product,
        quantity,
    }
}

fn step(rng: &mut Rng) -> Step {
    let (name, nth) = (name(rng), rng.u8(0..8));
    match rng.u8(0..100) {
        0..6 => create(rng),
        6..11 => Step::Cancel(name),
        11..15 => Step::Arrive(name),
        15..24 => Step::Pay(name),
        24..28 => Step::Release { name, nth },
        28..31 => Step::Repeat {
            name,
            nth,
            copies: rng.u8(1..5),
        },
        31..33 => Step::Forge(name, one_of(rng, &FORGERIES)),
        33..38 => Step::Refund {
            name,
            amount: one_of(rng, &[None, None, Some(1), Some(60), Some(100), Some(200)]),
            quantity: one_of(rng, &[None, None, Some(0), Some(1), Some(2)]),
            key: rng.u8(0..3),
        },
        38..42 => Step::Finish {
            name,
            nth,
            status: one_of(rng, &["SUCCESS", "SUCCESS", "CLOSED", "ABNORMAL"]),
        },
        42..45 => Step::Consume {
            player: name.player,
            product: rng.u8(0..2),
            quantity: rng.i64(1..3),
            key: rng.u8(0..3),
        },
        45..48 => Step::Sweep,
        48..53 => Step::Twice { nth },
        _ => work(rng),
    }
}
