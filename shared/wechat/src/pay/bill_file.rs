//! The file of a trade bill: gzip or plain CSV whose values begin with a backtick (§9).

use std::collections::HashMap;
use std::io::Read;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::money::scaled;
use super::{Fen, TradeState};

/// The longest file taken, packed or not.
pub(super) const MAX_BILL_BYTES: usize = 256 * 1024 * 1024;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file is not the bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBill {
    /// Longer than any bill, or broken gzip.
    #[error("the bill cannot be unpacked")]
    Unpack,
    /// Not the bytes that WeChat promised.
    #[error("the bill does not have the promised hash")]
    Hash,
    /// Not a table of the known form.
    #[error("the bill is not a table of the known form")]
    Form,
    /// A column that must be there is not.
    #[error("the bill lacks a column")]
    Column,
    /// A value that is not what its column holds.
    #[error("the bill has a value of another kind than its column")]
    Value,
    /// The summary counts other rows.
    #[error("the bill does not have as many rows as it says")]
    Count,
}

impl InvalidBill {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unpack => "the bill cannot be unpacked",
            Self::Hash => "the bill does not have the promised hash",
            Self::Form => "the bill is not a table of the known form",
            Self::Column => "the bill lacks a column",
            Self::Value => "the bill has a value of another kind than its column",
            Self::Count => "the bill does not have as many rows as it says",
        }
    }
}

/// The bill of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeBill {
    /// Payments and refunds.
    pub rows: Vec<BillRow>,
    /// What WeChat added up.
    pub summary: BillSummary,
}

/// A payment or a refund in a bill; the columns that reconciliation needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRow {
    /// When it was.
    pub time: Timestamp,
    /// The app.
    pub app_id: String,
    /// The merchant.
    pub mch_id: String,
    /// WeChat's id of the payment.
    pub transaction_id: String,
    /// Our number of the order.
    pub out_trade_no: String,
    /// The player.
    pub open_id: String,
    /// `SUCCESS` for a payment, `REFUND` for a refund, `REVOKED`.
    pub state: TradeState,
    /// What the order cost, coupons included; zero in the row of a refund.
    pub order_amount: Fen,
    /// WeChat's id of the refund.
    pub refund_id: Option<String>,
    /// Our number of the refund.
    pub out_refund_no: Option<String>,
    /// What we asked to refund; zero in the row of a payment.
    pub refund_amount: Fen,
    /// Where the refund stood when the bill was made; other words than the API's.
    pub refund_status: Option<String>,
    /// What WeChat charges, in thousandths of a fen; negative when it gives back.
    pub fee_milli_fen: i64,
}

/// The summary of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillSummary {
    /// Rows.
    pub count: u64,
    /// Sum of [`BillRow::order_amount`].
    pub order_amount: Fen,
    /// Sum of [`BillRow::refund_amount`].
    pub refund_amount: Fen,
}

impl TradeBill {
    /// Unpacks a downloaded file, checks it against the SHA-1 (hex) that WeChat promised for the
    /// unpacked bytes, and reads it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(file: &[u8], sha1_hex: &str) -> Result<Self, InvalidBill> {
        let unpacked = unpacked(file)?;
        let promised = hex::decode(sha1_hex.trim()).map_err(|_| InvalidBill::Hash)?;
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &unpacked);
        verify_slices_are_equal(hash.as_ref(), &promised).map_err(|_| InvalidBill::Hash)?;
        let text = std::str::from_utf8(&unpacked).map_err(|_| InvalidBill::Form)?;
        Self::parse(text)
    }

    fn parse(text: &str) -> Result<Self, InvalidBill> {
        let text = text.trim_start_matches(BYTE_ORDER_MARK);
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let header = Header::read(lines.next().ok_or(InvalidBill::Form)?);
        let mut rows = Vec::new();
        for line in lines.by_ref() {
            // Values begin with a backtick, names of columns do not: this is the summary's header.
            if !line.starts_with('`') {
                let values = lines.next().ok_or(InvalidBill::Form)?;
                let summary = BillSummary::read(&Header::read(line).row(values)?)?;
                if summary.count != rows.len() as u64 {
                    return Err(InvalidBill::Count);
                }
                return Ok(Self { rows, summary });
            }
            rows.push(BillRow::read(&header.row(line)?)?);
        }
        Err(InvalidBill::Form)
    }
}

fn unpacked(file: &[u8]) -> Result<Vec<u8>, InvalidBill> {
    if !file.starts_with(GZIP_MAGIC) {
        return Ok(file.to_vec());
    }
    let mut unpacked = Vec::new();
    let limit = MAX_BILL_BYTES as u64 + 1;
    MultiGzDecoder::new(file)
        .take(limit)
        .read_to_end(&mut unpacked)
        .map_err(|_| InvalidBill::Unpack)?;
    if unpacked.len() > MAX_BILL_BYTES {
        return Err(InvalidBill::Unpack);
    }
    Ok(unpacked)
}

/// Columns by name: their order and number differ between kinds of bills.
struct Header<'a>(HashMap<&'a str, usize>);

struct Row<'a> {
    header: &'a Header<'a>,
    values: Vec<&'a str>,
}

impl<'a> Header<'a> {
    fn read(line: &'a str) -> Self {
        let names = line.split(',').map(str::trim).enumerate();
        Self(names.map(|(index, name)| (name, index)).collect())
    }

    fn row(&'a self, line: &'a str) -> Result<Row<'a>, InvalidBill> {
        let line = line.trim_end_matches('\r');
        let line = line.strip_prefix('`').ok_or(InvalidBill::Form)?;
        // A comma inside a value has no backtick behind it.
        Ok(Row {
            header: self,
            values: line.split(",`").collect(),
        })
    }
}

impl<'a> Row<'a> {
    fn text(&self, column: &str) -> Result<&'a str, InvalidBill> {
        let index = self.header.0.get(column).ok_or(InvalidBill::Column)?;
        Ok(self.values.get(*index).ok_or(InvalidBill::Form)?.trim())
    }

    /// A text that is absent where it is empty or `0`.
    fn id(&self, column: &str) -> Result<Option<String>, InvalidBill> {
        let text = self.text(column)?;
        Ok((!matches!(text, "" | "0")).then(|| text.to_owned()))
    }

    fn fen(&self, column: &str) -> Result<Fen, InvalidBill> {
        Fen::from_yuan(self.text(column)?).ok_or(InvalidBill::Value)
    }
}

impl BillRow {
    fn read(row: &Row<'_>) -> Result<Self, InvalidBill> {
        let owned = |column| row.text(column).map(str::to_owned);
        Ok(Self {
            time: time(row.text("交易时间")?)?,
            app_id: owned("公众账号ID")?,
            mch_id: owned("商户号")?,
            transaction_id: owned("微信订单号")?,
            out_trade_no: owned("商户订单号")?,
            open_id: owned("用户标识")?,
            state: owned("交易状态")?.into(),
            order_amount: row.fen("订单金额")?,
            refund_id: row.id("微信退款单号")?,
            out_refund_no: row.id("商户退款单号")?,
            refund_amount: row.fen("申请退款金额")?,
            refund_status: row.id("退款状态")?,
            // Yuan with five decimals.
            fee_milli_fen: scaled(row.text("手续费")?, 5).ok_or(InvalidBill::Value)?,
        })
    }
}

impl BillSummary {
    fn read(row: &Row<'_>) -> Result<Self, InvalidBill> {
        // `45.0` has been seen.
        let count = row.text("总交易单数")?;
        let count = count.split('.').next().unwrap_or_default();
        Ok(Self {
            count: count.parse().map_err(|_| InvalidBill::Value)?,
            order_amount: row.fen("订单总金额")?,
            refund_amount: row.fen("申请退款总金额")?,
        })
    }
}

/// Beijing time.
fn time(text: &str) -> Result<Timestamp, InvalidBill> {
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).map_err(|_| InvalidBill::Value)?;
    Offset::constant(8)
        .to_timestamp(time)
        .map_err(|_| InvalidBill::Value)
}
