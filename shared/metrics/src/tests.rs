use prometheus::{Registry, TextEncoder, exponential_buckets};

use super::*;

#[derive(Clone, Copy)]
enum Fruit {
    Apple,
    Pear,
}

impl Fruit {
    const ALL: &[Self] = &[Self::Apple, Self::Pear];
}

impl From<Fruit> for &'static str {
    fn from(fruit: Fruit) -> Self {
        match fruit {
            Fruit::Apple => "apple",
            Fruit::Pear => "pear",
        }
    }
}

metrics! {
    /// One metric of each type.
    #[allow(dead_code, reason = "only exported")]
    struct Shop {
        /// Sales, by fruit and
        /// payment.
        sales: IntCounterVec["fruit" in Fruit::ALL, "paid" in ["cash", "card"]] = "sales_total",
        /// Complaints.
        complaints: IntCounterVec["fruit" in Fruit::ALL, "customer"] = "complaints_total",
        /// Visits.
        visits: IntCounter = "visits_total",
        /// Customers present.
        customers: IntGauge = "customers",
        /// Pieces in stock.
        stock: IntGaugeVec["fruit" in &Fruit::ALL[1..]] = "stock",
        /// Temperature.
        temperature: Gauge = "temperature",
        /// Price.
        price: GaugeVec["fruit"] = "price",
        /// Duration of a visit.
        visit: Histogram(exponential_buckets(1.0, 10.0, 2)?) = "visit_seconds",
        /// Weight of a sale.
        weight: HistogramVec["fruit" in [Fruit::Pear]](vec![0.5]) = "weight_grams",
    }

    /// Another struct of the same block.
    #[allow(dead_code, reason = "cannot be created")]
    struct Wrong {
        /// Has labels although its type has none.
        wrong: IntCounter["label"] = "wrong",
    }
}

metrics! {
    #[allow(dead_code, reason = "cannot be created")]
    struct WrongToo {
        /// Has buckets although its type has none.
        wrong: IntCounterVec["label"](vec![1.0]) = "wrong",
    }
}

#[test]
fn known_series_exist_from_the_start() {
    let registry = Registry::new();
    let shop = Shop::new(&registry).unwrap();
    shop.complaints.with_label_values(&["pear", "1"]).inc();
    shop.price.with_label_values(&["pear"]).set(0.5);
    shop.stock.with_label_values(&["pear"]).set(3);
    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap();
    let expected = "\
# HELP complaints_total Complaints.
# TYPE complaints_total counter
complaints_total{customer=\"1\",fruit=\"pear\"} 1
# HELP customers Customers present.
# TYPE customers gauge
customers 0
# HELP price Price.
# TYPE price gauge
price{fruit=\"pear\"} 0.5
# HELP sales_total Sales, by fruit and payment.
# TYPE sales_total counter
sales_total{fruit=\"apple\",paid=\"card\"} 0
sales_total{fruit=\"apple\",paid=\"cash\"} 0
sales_total{fruit=\"pear\",paid=\"card\"} 0
sales_total{fruit=\"pear\",paid=\"cash\"} 0
# HELP stock Pieces in stock.
# TYPE stock gauge
stock{fruit=\"pear\"} 3
# HELP temperature Temperature.
# TYPE temperature gauge
temperature 0
# HELP visit_seconds Duration of a visit.
# TYPE visit_seconds histogram
visit_seconds_bucket{le=\"1\"} 0
visit_seconds_bucket{le=\"10\"} 0
visit_seconds_bucket{le=\"+Inf\"} 0
visit_seconds_sum 0
visit_seconds_count 0
# HELP visits_total Visits.
# TYPE visits_total counter
visits_total 0
# HELP weight_grams Weight of a sale.
# TYPE weight_grams histogram
weight_grams_bucket{fruit=\"pear\",le=\"0.5\"} 0
weight_grams_bucket{fruit=\"pear\",le=\"+Inf\"} 0
weight_grams_sum{fruit=\"pear\"} 0
weight_grams_count{fruit=\"pear\"} 0
";
    assert_eq!(text, expected);
}

#[test]
fn clones_share_their_series() {
    let shop = Shop::new(&Registry::new()).unwrap();
    shop.clone().visits.inc();
    assert_eq!(shop.visits.get(), 1);
}

#[test]
fn name_cannot_be_registered_twice() {
    let registry = Registry::new();
    Shop::new(&registry).unwrap();
    let error = Shop::new(&registry).unwrap_err();
    assert!(matches!(error, Error::AlreadyReg), "{error}");
}

#[test]
fn labels_and_buckets_must_fit_the_type() {
    let registry = Registry::new();
    let error = Wrong::new(&registry).unwrap_err().to_string();
    assert!(error.contains("wrong cannot have labels"), "{error}");
    let error = WrongToo::new(&registry).unwrap_err().to_string();
    assert!(error.contains("wrong cannot have buckets"), "{error}");
}
