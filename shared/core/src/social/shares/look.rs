//! How a card looks to a player: the scene's own look, or the variant that the player keeps.

use aws_lc_rs::digest;

use super::config::{SceneName, ShareScene, ShareVariant};
use crate::base::ids::UserId;

/// How a card looks.
pub(super) struct Look<'a> {
    /// Name of the variant; empty: the scene's own look.
    pub variant: &'a str,
    pub title: &'a str,
    pub image_url: &'a str,
    pub image_url_id: Option<&'a str>,
}

impl ShareScene {
    /// Returns the look for this player, who keeps it: each variant draws a number for the player, and the largest
    /// one wins. So another variant takes over players, but moves none between the others.
    pub(super) fn look(&self, name: &SceneName, user: UserId) -> Look<'_> {
        let drawn = |variant: &ShareVariant| {
            let text = format!("{name} {} {user}", variant.name);
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            let bytes = hash.as_ref().first_chunk().copied().unwrap_or_default();
            #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
            let uniform = ((u64::from_be_bytes(bytes) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            uniform.ln() / f64::from(variant.weight)
        };
        let best = self
            .variants
            .iter()
            .max_by(|a, b| drawn(a).total_cmp(&drawn(b)));
        match best {
            Some(variant) => Look {
                variant: &variant.name,
                title: &variant.title,
                image_url: &variant.image_url,
                image_url_id: variant.image_url_id.as_deref(),
            },
            None => Look {
                variant: "",
                title: &self.title,
                image_url: &self.image_url,
                image_url_id: self.image_url_id.as_deref(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn scene(variants: &[Value]) -> ShareScene {
        let scene = json!({"title": "Play", "imageUrl": "images/a.png", "variants": variants});
        serde_json::from_value(scene).unwrap()
    }

    fn variant(name: &str, weight: u32) -> Value {
        json!({"name": name, "title": name, "imageUrl": "images/a.png", "weight": weight})
    }

    #[test]
    fn player_keeps_a_variant_when_another_is_added() {
        let name: SceneName = "invite".parse().unwrap();
        let two = scene(&[variant("a", 1), variant("b", 3)]);
        let three = scene(&[variant("a", 1), variant("b", 3), variant("c", 1)]);
        let (mut of_a, mut moved) = (0, 0);
        for _ in 0..4000 {
            let user = UserId::new();
            let before = two.look(&name, user).variant;
            assert_eq!(before, two.look(&name, user).variant);
            of_a += u32::from(before == "a");
            match three.look(&name, user).variant {
                "c" => moved += 1,
                after => assert_eq!(before, after),
            }
        }
        assert!(
            (850..1150).contains(&of_a),
            "{of_a} of 4000 have the weight of a quarter"
        );
        assert!(
            (680..920).contains(&moved),
            "{moved} of 4000 have the weight of a fifth"
        );
    }
}
