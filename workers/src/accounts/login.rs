//! The sign-in job: exchanges the code at WeChat, then stores the player, creates a session and issues a
//! token. Maps WeChat's errors to the outcome of a sign-in.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::bans::{self, BanError};
use avalon_core::accounts::sessions::{Device, SessionError, SignedInSession};
use avalon_core::accounts::sign_in::{SignInFacts, SignedInPlayer, event_id};
use avalon_core::accounts::users::UserError;
use avalon_core::analytics::outbox;
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::ids::SessionId;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::login::SignedIn;
use avalon_core::jobs::{self, Login};
use avalon_core::social::invites::InviteOutcome;
use avalon_core::social::invites::attribution::{Claim, Touch};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{Code2Session, ErrorClass, JsCode, WechatError};
use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::resume;
use crate::services::Services;

/// Time limit of storing the sign-in. Together with the exchange it must fit into the job's time limit.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// Milliseconds. WeChat counts per minute: retrying sooner only uses up the next minute.
const RATE_LIMIT_PAUSE: std::ops::Range<u64> = 12_000..20_000;

/// Signs a player in.
///
/// # Errors
/// The outcome of the job: retry, rejection or dead letter.
pub async fn handle(
    services: Arc<Services>,
    login: Login,
    context: JobContext,
) -> Result<SignedIn, JobError> {
    let code = JsCode::parse(&login.code).map_err(|error| {
        let problem = Problem::new(ProblemCode::FieldInvalid).with_detail(format!("code: {error}"));
        JobError::Reject(jobs::failure(&problem))
    })?;
    let exchanged = services.wechat.code2session(&code).await.map_err(refused)?;
    // Of the job's id, so that repeating the job creates only one session.
    let session = SessionId::of_job(context.id.ulid());
    // The code is spent now, so a retry of the job could not succeed. An outage of the database is
    // waited for here instead.
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(1))
        .with_total_delay(Some(STORE_TIMEOUT))
        .without_max_times()
        .with_jitter();
    let stored = (|| sign_in(&services, &login, session, &exchanged))
        .retry(backoff)
        .when(SignInError::is_transient)
        .notify(|error, wait| {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(%error, wait_ms, "storing the sign-in failed, will retry");
        });
    let stored = tokio::time::timeout(STORE_TIMEOUT, stored).await;
    match stored {
        Ok(Ok((signed_in, replaced))) => {
            let facts = facts_of(&login, session, None);
            let event = facts.event(&signed_in.user_info);
            services.analytics.relay.forward(&event, Timestamp::now());
            services.hosted.note(signed_in.user_info.id);
            // Only sessions of other devices: a daily sign-in on the same device is not worth recording.
            for ended in replaced {
                let event = AuditEvent::new(AuditKind::SessionReplaced, Actor::Player)
                    .user(signed_in.user_info.id)
                    .session(ended)
                    .with("by", session.to_string());
                audit::record_in_background(&services.database, event);
            }
            resume::after_sign_in(&services, signed_in.user_info.id);
            Ok(signed_in)
        }
        // The event was stored with the player, but there is no session. Removed in the background.
        failed => {
            let database = services.database.clone();
            tokio::spawn(async move {
                if let Err(error) = outbox::discard(&database, &event_id(session)).await {
                    tracing::warn!(%error, "event of a failed sign-in could not be removed");
                }
            });
            Err(unstored(failed))
        }
    }
}

/// Maps a failure to store the player or session. Never a retry: the code is spent.
fn unstored<T, E>(stored: Result<Result<T, SignInError>, E>) -> JobError {
    let give_up = |code: ProblemCode| JobError::Fail(jobs::failure(&code.into()));
    match stored {
        Ok(Err(SignInError::Banned)) => {
            JobError::Reject(jobs::failure(&ProblemCode::UserBanned.into()))
        }
        Ok(Err(error)) if !error.is_transient() => {
            tracing::error!(%error, "storing the sign-in failed");
            give_up(ProblemCode::Internal)
        }
        _ => {
            tracing::error!("storing the sign-in timed out");
            give_up(ProblemCode::StoreUnavailable)
        }
    }
}

fn facts_of(login: &Login, session: SessionId, touch: Option<Touch>) -> SignInFacts<'_> {
    SignInFacts {
        session,
        touch,
        device_type: login.device_type.as_deref(),
        scene: login.scene,
    }
}

async fn sign_in(
    services: &Services,
    login: &Login,
    session: SessionId,
    exchanged: &Code2Session,
) -> Result<(SignedIn, Vec<SessionId>), SignInError> {
    let now = Timestamp::now();
    let Services {
        database,
        players,
        sessions,
        tokens,
        ..
    } = services;
    let claim = Claim {
        share_id: login.share_id.as_deref(),
        invite_code: login.invite_code.as_deref(),
        device: login.device_id.as_deref(),
        client_ip: login.client_ip,
    };
    let touch = services.attribution.touch(claim, now);
    let facts = facts_of(login, session, touch);
    let stored = players.store(exchanged, &facts, now).await?;
    let SignedInPlayer {
        user,
        banned,
        invited,
    } = stored;
    if invited {
        services.invites.count(InviteOutcome::Attributed);
    }
    if banned {
        return Err(SignInError::Banned);
    }
    let device = Device {
        id: login.device_id.clone(),
        kind: login.device_type.clone(),
        scene: login.scene,
    };
    let create = || sessions.sign_in(user.id, &user.open_id, session, device.clone(), now);
    let created = match create().await {
        // The row had no ban a moment ago: either it has now, or the sessions have lost the lifting.
        Err(SessionError::Banned(_)) if bans::lift_if_lost(database, sessions, user.id).await? => {
            create().await
        }
        created => created,
    };
    let SignedInSession { secrets, replaced } = match created {
        Err(SessionError::Banned(_)) => return Err(SignInError::Banned),
        created => created?,
    };
    let token = tokens.issue(user.id, session, &exchanged.open_id, now)?;
    Ok((SignedIn::new(token, secrets, user), replaced))
}

#[derive(Debug, thiserror::Error)]
enum SignInError {
    #[error("the player is banned")]
    Banned,
    #[error(transparent)]
    Store(#[from] avalon_core::accounts::sign_in::SignInError),
    #[error(transparent)]
    Ban(#[from] BanError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Token(#[from] avalon_core::accounts::tokens::TokenError),
}

impl SignInError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Ban(BanError::User(UserError::Database(error))) => error.is_transient(),
            Self::Ban(BanError::Session(error)) => error.is_transient(),
            Self::Session(error) => error.is_transient(),
            Self::Banned | Self::Token(_) => false,
        }
    }
}

/// Maps the error of the exchange.
fn refused(error: WechatError) -> JobError {
    /// WeChat has blocked the player as a risk.
    const BLOCKED: i64 = 40226;
    let failure = |code: ProblemCode| jobs::failure(&code.into());
    match error.class() {
        // Includes 40163 of a retry whose first attempt spent the code but lost the response: only a
        // new code helps.
        ErrorClass::SignInAgain => JobError::Reject(failure(ProblemCode::SignInAgain)),
        ErrorClass::Permanent if error.code().is_some_and(|code| code.0 == BLOCKED) => {
            JobError::Reject(failure(ProblemCode::UserBlocked))
        }
        ErrorClass::RateLimited => JobError::Retry {
            after: Some(Duration::from_millis(fastrand::u64(RATE_LIMIT_PAUSE))),
            failure: failure(ProblemCode::WechatRateLimited),
        },
        ErrorClass::Retry => job_errors::retry_after(ProblemCode::WechatBusy, error.retry_after()),
        // This call uses no access token, so a token error concerns the credentials as well.
        ErrorClass::Permanent | ErrorClass::RefreshToken | ErrorClass::Misconfigured => {
            tracing::error!(%error, "WeChat rejects all sign-ins: check wechat.app_id and wechat.app_secret");
            JobError::Fail(failure(ProblemCode::WechatMisconfigured))
        }
    }
}
