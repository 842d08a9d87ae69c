use PayErrorClass::{Alert, AlreadyPaid, Closed, Permanent, QueryFirst, RateLimited, Retry};

use super::*;

fn class_of(api: Api, status: u16, code: &str) -> PayErrorClass {
    let code = (!code.is_empty()).then(|| PayCode::new(code));
    reaction(api, status, code.as_ref()).0
}

#[test]
fn status_and_code_map_to_the_documented_class() {
    use Api::{
        PayAbnormalRefund, PayBill, PayCertificates, PayClose, PayJsapi, PayQuery, PayRefund,
        PayRefundQuery,
    };
    for (api, status, code, class) in [
        (PayJsapi, 400, "PARAM_ERROR", Permanent),
        (PayJsapi, 400, "INVALID_REQUEST", QueryFirst),
        (PayRefund, 400, "INVALID_REQUEST", QueryFirst),
        (PayBill, 400, "INVALID_REQUEST", Permanent),
        (PayJsapi, 400, "APPID_MCHID_NOT_MATCH", Alert),
        (PayRefund, 404, "MCH_NOT_EXISTS", Alert),
        (PayQuery, 400, "MCH_NOT_EXISTS", Alert),
        (PayJsapi, 400, "ORDER_CLOSED", Closed),
        (PayJsapi, 400, "ORDERPAID", AlreadyPaid),
        (PayClose, 403, "ORDER_PAID", AlreadyPaid),
        (PayJsapi, 403, "OUT_TRADE_NO_USED", QueryFirst),
        (PayJsapi, 500, "OPENID_MISMATCH", Permanent),
        (PayJsapi, 401, "SIGN_ERROR", Alert),
        (PayBill, 403, "NO_AUTH", Alert),
        (PayJsapi, 403, "ACCOUNT_ERROR", Permanent),
        (PayQuery, 403, "RULE_LIMIT", RateLimited),
        (PayClose, 403, "TRADE_ERROR", QueryFirst),
        (PayRefund, 403, "NOT_ENOUGH", Alert),
        (PayJsapi, 403, "NOTENOUGH", Permanent),
        (PayRefund, 403, "USER_ACCOUNT_ABNORMAL", Permanent),
        (PayQuery, 404, "ORDER_NOT_EXIST", QueryFirst),
        (PayRefundQuery, 404, "RESOURCE_NOT_EXISTS", QueryFirst),
        (PayAbnormalRefund, 400, "INVALID_REQUEST", QueryFirst),
        (PayAbnormalRefund, 403, "NOT_ENOUGH", Alert),
        (PayAbnormalRefund, 404, "RESOURCE_NOT_EXISTS", QueryFirst),
        (PayAbnormalRefund, 502, "", QueryFirst),
        (PayCertificates, 404, "RESOURCE_NOT_EXISTS", Alert),
        (PayQuery, 404, "NOT_FOUND", Permanent),
        (PayQuery, 429, "FREQUENCY_LIMITED", RateLimited),
        (PayRefund, 429, "RATELIMIT_EXCEEDED", QueryFirst),
        (PayJsapi, 500, "SYSTEM_ERROR", Retry),
        (PayJsapi, 400, "systemerror", Retry),
        (PayRefund, 500, "SYSTEM_ERROR", QueryFirst),
        (PayJsapi, 500, "BANKERROR", Retry),
        (PayQuery, 500, "INVALID_TRANSACTIONID", Permanent),
        (PayQuery, 503, "SERVICE_UNAVAILABLE", Retry),
        (PayBill, 400, "STATEMENT_CREATING", RateLimited),
        (PayRefund, 400, "TRADE_OVERDUE", Permanent),
        // Unknown codes and gateways: by status.
        (PayJsapi, 400, "SOMETHING_NEW", QueryFirst),
        (PayQuery, 400, "SOMETHING_NEW", Permanent),
        (PayJsapi, 502, "", Retry),
        (PayRefund, 502, "", QueryFirst),
        (PayJsapi, 202, "", Retry),
        (PayQuery, 429, "", RateLimited),
        (PayQuery, 401, "", Alert),
        (PayQuery, 302, "", Alert),
        (PayClose, 404, "", QueryFirst),
    ] {
        assert_eq!(class_of(api, status, code), class, "{api} {status} {code}");
    }
}

#[test]
fn labels_have_one_spelling_and_unknown_codes_are_other() {
    for spelling in ["ORDER_NOT_EXIST", "ORDERNOTEXIST", "order_not_exist"] {
        assert_eq!(PayCode::new(spelling).label(), "ORDER_NOT_EXIST");
    }
    assert_eq!(PayCode::new("arbitrary gateway text").label(), "other");
}
