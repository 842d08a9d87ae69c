//! Checks the AppKeys of virtual payment. WeChat offers no call for that, so the balance of a player who does not exist is
//! requested twice: signed with the configured key, and with one that is certainly wrong. If only the latter is refused
//! for its `pay_sig`, the key is right. If both are answered alike, WeChat does not say.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use avalon_wechat::virtual_payment::{
    AppKey, AppKeys, Caller, CoinKind, Env, RotatingAppKey, VirtualPaymentClient,
    VirtualPaymentCode, VirtualPaymentError, VirtualPaymentSettings,
};
use avalon_wechat::{FixedToken, OpenId, PlatformClient, SessionKey, TokenMode, WechatClient};

use super::Findings;
use crate::config::Config;

const NAME: &str = "vpay AppKeys";
/// No player: as long as an openid.
const NO_PLAYER: &str = "oAvalonDoctorAsksForNobody00";
/// No session key: 16 zero bytes.
const NO_SESSION: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
/// No AppKey.
const WRONG_KEY: &str = "avalon-doctor-wrong-app-key-0000";

/// What WeChat makes of a call.
#[derive(PartialEq, Eq)]
enum Answered {
    /// It refuses the `pay_sig`.
    BadPaySig,
    /// Something else, so that the `pay_sig` may have been right.
    Otherwise(String),
}

pub(super) async fn check(config: &Config, findings: &mut Findings, wechat: &WechatClient) {
    let Some(settings) = config.vpay.client_settings() else {
        return findings.skip(NAME, "vpay.offer_id is not configured");
    };
    let token = match wechat.stable_token(TokenMode::Normal).await {
        Ok(fetched) => fetched.token,
        Err(error) => {
            return findings.warn(
                NAME,
                format!("not verified, there is no access token: {error}"),
            );
        }
    };
    let platform = PlatformClient::new(wechat.clone(), Arc::new(FixedToken::new(token)));
    for env in [Env::Production, Env::Sandbox] {
        let Some(keys) = settings.keys.of(env) else {
            continue;
        };
        let call = async |key: &AppKey| answer(&platform, &settings, env, key).await;
        let ours = match call(&keys.current).await {
            Ok(answered) => answered,
            Err(error) => {
                findings.warn(NAME, format!("{env}: not verified: {error}"));
                continue;
            }
        };
        if ours == Answered::BadPaySig {
            let previous = match &keys.previous {
                Some(previous) => call(previous).await.ok(),
                None => None,
            };
            match previous {
                Some(Answered::Otherwise(_)) => findings.warn(
                    NAME,
                    format!(
                        "{env}: WeChat refuses the current AppKey, and accepts the previous one"
                    ),
                ),
                _ => findings.fail(NAME, format!("{env}: WeChat refuses the AppKey (90011)")),
            }
            continue;
        }
        match (call(&AppKey::new(WRONG_KEY.into())).await, ours) {
            (Ok(Answered::BadPaySig), _) => findings.ok(NAME, format!("{env}: accepted")),
            (_, Answered::Otherwise(answer)) => findings.skip(
                NAME,
                format!("{env}: not verified: WeChat answers {answer:?} to a wrong key as well"),
            ),
            (_, Answered::BadPaySig) => {}
        }
    }
}

async fn answer(
    platform: &PlatformClient,
    settings: &VirtualPaymentSettings,
    env: Env,
    key: &AppKey,
) -> Result<Answered, VirtualPaymentError> {
    let keys = RotatingAppKey {
        current: key.clone(),
        previous: None,
    };
    let keys = match env {
        Env::Production => AppKeys {
            production: Some(keys),
            sandbox: None,
        },
        Env::Sandbox => AppKeys {
            production: None,
            sandbox: Some(keys),
        },
    };
    let settings = VirtualPaymentSettings {
        keys,
        ..settings.clone()
    };
    let client = VirtualPaymentClient::new(platform.clone(), settings);
    let caller = Caller {
        open_id: &OpenId::new(NO_PLAYER),
        session_key: Some(&SessionKey::new(NO_SESSION.into())),
        env,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    match client.coin_balance(&caller, CoinKind::Game).await {
        Ok(_) => Ok(Answered::Otherwise("a balance".to_owned())),
        Err(error) if error.code() == Some(VirtualPaymentCode::PaySignature) => {
            Ok(Answered::BadPaySig)
        }
        // Any other code of WeChat.
        Err(error) if error.code().is_some() => Ok(Answered::Otherwise(error.to_string())),
        Err(error) => Err(error),
    }
}
