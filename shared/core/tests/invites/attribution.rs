//! Who is attributed to whom.

use crate::world::on_both;

on_both! {
    new_player_is_attributed_to_the_sharer,
    code_alone_attributes_and_the_share_takes_precedence,
    invalid_invitations_never_prevent_a_sign_in,
    existing_players_are_never_attributed,
}

mod on {
    use avalon_core::social::invites::InviteState;
    use jiff::Timestamp;

    use crate::world::World;

    pub(super) async fn new_player_is_attributed_to_the_sharer(world: World) {
        let alice = world.player("alice").await;
        let share = world.share(alice).await;
        let bob = world.sign_in("bob", Some(&share), None, None).await;
        assert!(bob.invited);
        let invite = world.invite_of(bob.user.id).await.unwrap();
        assert_eq!(
            (invite.inviter, invite.state),
            (alice, InviteState::Invited)
        );
        let id = world.shares.ids().verify(&share, Timestamp::now()).unwrap();
        assert_eq!(invite.share, Some(id.to_string()));
        assert!(!world.sign_in("bob", Some(&share), None, None).await.invited);
    }

    pub(super) async fn code_alone_attributes_and_the_share_takes_precedence(world: World) {
        let (alice, carol) = (world.player("alice").await, world.player("carol").await);
        let code = world.code(alice).await;
        assert_eq!(code, world.code(alice).await, "a player has one code");
        let typed = format!("{} {}", &code[..4], code[4..].to_lowercase());
        let bob = world.sign_in("bob", None, Some(&typed), None).await.user.id;
        let invite = world.invite_of(bob).await.unwrap();
        assert_eq!((invite.inviter, invite.share), (alice, None));

        let share = world.share(carol).await;
        let dave = world.sign_in("dave", Some(&share), Some(&code), None).await;
        let invite = world.invite_of(dave.user.id).await.unwrap();
        assert_eq!(invite.inviter, carol);
    }

    pub(super) async fn invalid_invitations_never_prevent_a_sign_in(world: World) {
        let alice = world.player("alice").await;
        let share = world.share(alice).await;
        let forged = format!("{}A", &share[..share.len() - 1]);
        let forged = if forged == share {
            format!("{}B", &share[..47])
        } else {
            forged
        };
        for (n, (share, code)) in [
            (Some(forged.as_str()), None),
            (Some("x"), Some("ABCDEFGH")),
            (None, Some("no code at all, and far too long to be one")),
            (None, Some("")),
        ]
        .into_iter()
        .enumerate()
        {
            let player = world.sign_in(&format!("p{n}"), share, code, None).await;
            assert!(!player.invited, "{share:?} {code:?}");
        }
        assert_eq!(world.rows().await, []);
    }

    pub(super) async fn existing_players_are_never_attributed(world: World) {
        let (alice, bob) = (world.player("alice").await, world.player("bob").await);
        let (code, share) = (world.code(alice).await, world.share(alice).await);
        world.sign_in("bob", Some(&share), Some(&code), None).await;
        assert_eq!(world.invite_of(bob).await, None);
        // Oneself: whoever has a code exists.
        world
            .sign_in("alice", Some(&share), Some(&code), None)
            .await;
        assert_eq!(world.rows().await, []);
    }
}
