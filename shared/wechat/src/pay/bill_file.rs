//! Parser of trade bill files: gzip or plain CSV whose values begin with a backtick (§9).

use std::collections::HashMap;
use std::io::Read;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use strum::{Display, IntoStaticStr};

use super::money::scaled;
use super::{Fen, TradeState};

/// Maximum size of a file, before and after decompression.
pub(super) const MAX_BILL_BYTES: usize = 256 * 1024 * 1024;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reason why a bill file is rejected.
#[derive(Clone, Copy, Debug, Display, IntoStaticStr, PartialEq, Eq)]
pub enum InvalidBill {
    /// Too large, or invalid gzip.
    #[strum(to_string = "the bill cannot be decompressed")]
    Decompress,
    /// The hash differs from the announced one.
    #[strum(to_string = "the bill's hash does not match")]
    Hash,
    /// Not a table of the known format.
    #[strum(to_string = "the bill's format is unknown")]
    Format,
    /// A required column is missing.
    #[strum(to_string = "the bill lacks a required column")]
    Column,
    /// A value that does not suit its column.
    #[strum(to_string = "the bill has an invalid value")]
    Value,
    /// The number of rows differs from the summary.
    #[strum(to_string = "the bill's number of rows differs from its summary")]
    Count,
}

impl std::error::Error for InvalidBill {}

/// The trade bill of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeBill {
    /// Payments and refunds.
    pub rows: Vec<BillRow>,
    /// WeChat's totals.
    pub summary: BillSummary,
}

/// A payment or a refund in a bill, with the columns needed for reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRow {
    /// Time of the payment or refund.
    pub time: Timestamp,
    /// App in which the order was paid; a merchant may have several.
    pub app_id: String,
    /// Merchant number.
    pub mch_id: String,
    /// WeChat's id of the payment.
    pub transaction_id: String,
    /// Our order number.
    pub out_trade_no: String,
    /// The paying player.
    pub open_id: String,
    /// `SUCCESS` for a payment, `REFUND` for a refund, `REVOKED`.
    pub state: TradeState,
    /// Price of the order, including coupons; zero in the row of a refund.
    pub order_amount: Fen,
    /// WeChat's id of the refund.
    pub refund_id: Option<String>,
    /// Our refund number.
    pub out_refund_no: Option<String>,
    /// Requested refund; zero in the row of a payment.
    pub refund_amount: Fen,
    /// State of the refund when the bill was created; the values differ from the API's.
    pub refund_status: Option<String>,
    /// WeChat's fee in thousandths of a fen; negative when it is returned.
    pub fee_milli_fen: i64,
}

/// The summary of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillSummary {
    /// Number of rows.
    pub count: u64,
    /// Sum of [`BillRow::order_amount`].
    pub order_amount: Fen,
    /// Sum of [`BillRow::refund_amount`].
    pub refund_amount: Fen,
}

impl TradeBill {
    /// Decompresses a downloaded file, verifies the SHA-1 (hex) of the decompressed bytes, and parses
    /// them.
    ///
    /// # Errors
    /// The reason why the file is rejected.
    pub fn read(file: &[u8], sha1_hex: &str) -> Result<Self, InvalidBill> {
        let content = decompress(file)?;
        let expected = hex::decode(sha1_hex.trim()).map_err(|_| InvalidBill::Hash)?;
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &content);
        verify_slices_are_equal(hash.as_ref(), &expected).map_err(|_| InvalidBill::Hash)?;
        let text = std::str::from_utf8(&content).map_err(|_| InvalidBill::Format)?;
        Self::parse(text)
    }

    fn parse(text: &str) -> Result<Self, InvalidBill> {
        let text = text.trim_start_matches(BYTE_ORDER_MARK);
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let header = Header::read(lines.next().ok_or(InvalidBill::Format)?);
        let mut rows = Vec::new();
        for line in lines.by_ref() {
            // Values begin with a backtick, column names do not: this is the summary's header.
            if !line.starts_with('`') {
                let values = lines.next().ok_or(InvalidBill::Format)?;
                let summary = BillSummary::read(&Header::read(line).row(values)?)?;
                if summary.count != rows.len() as u64 {
                    return Err(InvalidBill::Count);
                }
                return Ok(Self { rows, summary });
            }
            rows.push(BillRow::read(&header.row(line)?)?);
        }
        Err(InvalidBill::Format)
    }
}

fn decompress(file: &[u8]) -> Result<Vec<u8>, InvalidBill> {
    if !file.starts_with(GZIP_MAGIC) {
        return Ok(file.to_vec());
    }
    let mut content = Vec::new();
    let limit = MAX_BILL_BYTES as u64 + 1;
    MultiGzDecoder::new(file)
        .take(limit)
        .read_to_end(&mut content)
        .map_err(|_| InvalidBill::Decompress)?;
    if content.len() > MAX_BILL_BYTES {
        return Err(InvalidBill::Decompress);
    }
    Ok(content)
}

/// Column indices by name: order and number of columns differ between bill types.
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
        let line = line.strip_prefix('`').ok_or(InvalidBill::Format)?;
        // A comma inside a value is not followed by a backtick.
        Ok(Row {
            header: self,
            values: line.split(",`").collect(),
        })
    }
}

impl<'a> Row<'a> {
    fn text(&self, column: &str) -> Result<&'a str, InvalidBill> {
        let index = self.header.0.get(column).ok_or(InvalidBill::Column)?;
        Ok(self.values.get(*index).ok_or(InvalidBill::Format)?.trim())
    }

    /// Returns an id; empty and `0` count as absent.
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
            // In yuan with five decimals.
            fee_milli_fen: scaled(row.text("手续费")?, 5).ok_or(InvalidBill::Value)?,
        })
    }
}

impl BillSummary {
    fn read(row: &Row<'_>) -> Result<Self, InvalidBill> {
        // WeChat also writes `45.0`.
        let count = row.text("总交易单数")?;
        let count = count.split('.').next().unwrap_or_default();
        Ok(Self {
            count: count.parse().map_err(|_| InvalidBill::Value)?,
            order_amount: row.fen("订单总金额")?,
            refund_amount: row.fen("申请退款总金额")?,
        })
    }
}

/// Parses a time in Beijing time.
fn time(text: &str) -> Result<Timestamp, InvalidBill> {
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).map_err(|_| InvalidBill::Value)?;
    Offset::constant(8)
        .to_timestamp(time)
        .map_err(|_| InvalidBill::Value)
}
