//! The console's gift packs: giving one to a player, testing one, and the state of their circuit breaker.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Vpay;
use super::console::Platform;
use super::ladder::Ladder;
use super::push_delivery;
use super::pushes::{AnswerForm, Content, NewPush, Status};
use crate::control::Strict;
use crate::pay::{ControlError, DIGITS, random_text};

pub(super) fn routes(vpay: &Arc<Vpay>) -> Router {
    Router::new()
        .route("/gifts", get(list).post(give))
        .with_state(Arc::clone(vpay))
}

async fn list(State(vpay): Platform) -> Json<Value> {
    Json(json!({"packs": vpay.world.state().vpay.gifts.packs()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: String,
    quantity: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GiftRequest {
    openid: String,
    gift_id: String,
    items: Vec<Item>,
    /// By default a new one.
    order_id: Option<String>,
    #[serde(default)]
    preview: bool,
    gift_type_id: Option<i64>,
}

/// Gives a pack, or tests it, and returns once the first attempt was answered.
async fn give(
    State(vpay): Platform,
    Strict(gift): Strict<GiftRequest>,
) -> Result<Json<Value>, ControlError> {
    let order_id = gift.order_id.unwrap_or_else(|| random_text::<20>(DIGITS));
    let sent_at = {
        let state = vpay.world.state();
        if !gift.preview && !state.vpay.gifts.is_on(&gift.gift_id) {
            return Err(ControlError::conflict("the pack is off the air"));
        }
        state.now().as_second()
    };
    let items: Vec<Value> = (gift.items.iter())
        .map(|item| json!({"Id": item.id, "Num": item.quantity}))
        .collect();
    let game = json!({
        "OrderId": order_id,
        "IsPreview": u8::from(gift.preview),
        "ToUserOpenid": gift.openid,
        "Zone": 2001,
        "GiftTypeId": gift.gift_type_id.unwrap_or(1),
        "GiftId": gift.gift_id,
        "SendTime": sent_at,
        "GoodsList": items,
    });
    let push = NewPush {
        event: "minigame_deliver_goods".to_owned(),
        sender: gift.openid,
        content: Content::Fields(Map::from_iter([("MiniGame".to_owned(), game)])),
        ladder: Ladder::Gift,
        answer: AnswerForm::ErrCode,
        delivers: None,
        out_trade_no: None,
        gift: (!gift.preview).then(|| gift.gift_id.clone()),
    };
    let id = push_delivery::send_first(&vpay, push).await;
    let mut state = vpay.world.state();
    let status = state.vpay.pushes.get(id).map(|push| push.status);
    if gift.preview && status == Some(Status::Accepted) {
        state.vpay.gifts.tested(&gift.gift_id);
    }
    Ok(Json(
        json!({"orderId": order_id, "push": state.vpay.pushes.get(id)}),
    ))
}
