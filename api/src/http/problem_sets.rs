//! Sets of problem codes, as the OpenAPI document describes them: one response per status, which lists
//! its codes. A route declares its own set with `problems!`, from the sets here and single codes.

use std::collections::BTreeMap;

use avalon_core::base::problem::ProblemCode;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// Codes of one cause, for composing sets.
pub(crate) type Codes = &'static [ProblemCode];

macro_rules! sets {
    ($($(#[$doc:meta])* $set:ident: $($code:ident)+;)*) => {
        $($(#[$doc])* pub(crate) const $set: Codes = &[$(ProblemCode::$code),+];)*
    };
}

sets! {
    /// Of guards that only limit an address.
    LIMITED: RateLimited;
    /// Of the guard of players' routes, when a player is required or a token is rejected.
    PLAYER: Unauthenticated TokenExpired SessionExpired SessionReplaced SessionEnded SignatureRequired
        SignatureInvalid SignatureStale NonceReused UserBanned RateLimited SessionsUnavailable;
    /// Of a JSON body.
    BODY: BodyMissing BodyNotJson BodyTooLarge UnsupportedMediaType FieldMissing FieldInvalid;
    /// Of routes that enqueue jobs or read them.
    QUEUE: QueueUnavailable RequestTimeout;
    /// Of routes that respond with the result of a job.
    JOB: QueueUnavailable Overloaded RequestTimeout DeadlineExceeded JobTimedOut;
    /// Of routes that read or write the database.
    DATABASE: StoreUnavailable RequestTimeout;
    /// Of routes whose jobs call WeChat's platform APIs.
    WECHAT: WechatBusy WechatRateLimited WechatMisconfigured;
    /// Of routes whose jobs call WeChat Pay.
    PAY: PayBusy PayMisconfigured PaymentsDisabled;
}

/// Declares a type for `responses(…)` of `utoipa::path`: the problems of these sets, and of single codes
/// after a semicolon.
macro_rules! problems {
    ($name:ident: $($set:ident)* $(; $($code:ident)+)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> $crate::http::problem_sets::Responses {
                $crate::http::problem_sets::responses(&[
                    $($crate::http::problem_sets::$set,)*
                    $(&[$(avalon_core::base::problem::ProblemCode::$code),+],)?
                ])
            }
        }
    };
}
pub(crate) use problems;

/// Responses by status, as utoipa wants them.
pub(crate) type Responses = BTreeMap<String, RefOr<Response>>;

/// Describes the codes, grouped by status.
pub(crate) fn responses(sets: &[Codes]) -> Responses {
    let mut by_status = BTreeMap::<u16, Vec<ProblemCode>>::new();
    for code in sets.iter().copied().flatten() {
        let codes = by_status.entry(code.status()).or_default();
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    let response = |codes: Vec<ProblemCode>| {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(description(&codes))
            .content("application/problem+json", content);
        RefOr::T(response.build())
    };
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), response(codes)))
        .collect()
}

/// The detail of a single code; of several only the codes, which `docs/errors.md` explains.
fn description(codes: &[ProblemCode]) -> String {
    match codes {
        [code] => format!("{} (`{code}`)", code.detail().trim_end_matches('.')),
        codes => {
            let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
            codes.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_one_status_share_one_response() {
        let responses = responses(&[QUEUE, DATABASE, LIMITED]);
        let description = |status: &str| match &responses[status] {
            RefOr::T(response) => response.description.clone(),
            RefOr::Ref(_) => panic!("inline"),
        };
        assert_eq!(
            description("503"),
            "`QUEUE_UNAVAILABLE`, `REQUEST_TIMEOUT`, `STORE_UNAVAILABLE`"
        );
        assert!(description("429").ends_with("(`RATE_LIMITED`)"));
        assert_eq!(responses.len(), 2);
    }
}
