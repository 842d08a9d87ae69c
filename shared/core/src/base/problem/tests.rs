use serde_json::json;

use super::*;

fn word(code: ProblemCode) -> String {
    serde_json::to_value(code)
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn error_document_lists_exactly_the_codes() {
    let document = include_str!("../../../../../docs/errors.md");
    let listed = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line
                .trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect::<Vec<_>>();
            (
                cells[0].trim_matches('`').to_owned(),
                cells[1].to_owned(),
                cells[2].to_owned(),
            )
        })
        .collect::<Vec<_>>();
    let known = ProblemCode::ALL
        .iter()
        .map(|code| {
            let retryable = if code.retryable() { "yes" } else { "no" };
            (word(*code), code.status().to_string(), retryable.to_owned())
        })
        .collect::<Vec<_>>();
    assert_eq!(listed, known);
}

#[test]
fn problem_round_trips_as_rfc_9457() {
    let problem = Problem::new(ProblemCode::FieldMissing)
        .with_detail("`code` is missing")
        .with_request_id("r-1");
    let json = serde_json::to_value(&problem).unwrap();
    assert_eq!(
        json,
        json!({
            "status": 422, "code": "FIELD_MISSING", "title": "Unprocessable Content",
            "detail": "`code` is missing", "retryable": false, "requestId": "r-1",
        })
    );
    assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
}

#[test]
fn exactly_429_and_503_have_retry_after() {
    for code in ProblemCode::ALL {
        let problem = Problem::new(*code);
        let expected = matches!(problem.status, 429 | 503);
        assert_eq!(problem.retry_after.is_some(), expected, "{code:?}");
    }
    let problem = Problem::new(ProblemCode::WechatBusy);
    let problem = problem.with_retry_after(Duration::from_millis(2001));
    assert_eq!(problem.retry_after_seconds(), Some(3));
    let json = serde_json::to_value(&problem).unwrap();
    assert_eq!(json["retryAfter"], 3);
    let problem = problem.with_retry_after(Duration::ZERO);
    assert_eq!(problem.retry_after_seconds(), Some(1));
}

#[test]
fn unknown_code_preserves_the_other_fields() {
    let json = json!({
        "status": 409, "code": "FROM_THE_FUTURE", "detail": "Out of stock.", "retryable": false,
    });
    let problem: Problem = serde_json::from_value(json).unwrap();
    assert_eq!((problem.status, problem.code), (409, ProblemCode::Internal));
    assert_eq!(problem.detail, "Out of stock.");
}

#[test]
fn every_status_has_its_title() {
    for code in ProblemCode::ALL {
        let title = Problem::new(*code).title();
        assert_eq!(
            title == "Internal Server Error",
            code.status() == 500,
            "{code:?}"
        );
    }
}
