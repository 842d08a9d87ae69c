use proptest::prelude::*;

use super::*;

/// Returns the fields, or the first error.
fn check(profile: UserProfile) -> Result<Fields, FieldError> {
    check_on(profile, &AvatarHosts::default())
}

fn check_on(profile: UserProfile, hosts: &AvatarHosts) -> Result<Fields, FieldError> {
    let (fields, left_out) = Fields::check(profile, hosts);
    left_out.first().map_or(Ok(fields), |error| Err(*error))
}

fn named(name: &str) -> Result<Option<String>, FieldError> {
    let profile = UserProfile {
        nick_name: Some(name.to_owned()),
        ..UserProfile::default()
    };
    check(profile).map(|fields| fields.nickname)
}

fn avatar_url(url: &str) -> Result<Option<String>, &'static str> {
    avatar_on(url, &[])
}

fn avatar_on(url: &str, hosts: &[&str]) -> Result<Option<String>, &'static str> {
    let profile = UserProfile {
        avatar_url: Some(url.to_owned()),
        ..UserProfile::default()
    };
    let hosts = AvatarHosts::new(hosts.iter().map(|host| (*host).to_owned()));
    check_on(profile, &hosts)
        .map(|fields| fields.avatar_url)
        .map_err(|error| error.problem)
}

#[test]
fn unreadable_fields_are_left_out() {
    let profile = UserProfile {
        city: Some("Guangzhou".to_owned()),
        unreadable: vec!["nickName", "gender"],
        ..UserProfile::default()
    };
    let (fields, left_out) = Fields::check(profile, &AvatarHosts::default());
    assert_eq!(fields.city.as_deref(), Some("Guangzhou"));
    let names: Vec<_> = left_out.iter().map(|error| error.field).collect();
    assert_eq!(names, ["nickName", "gender"]);
}

#[test]
fn nicknames_are_short_visible_and_trimmed() {
    for (name, accepted) in [
        (" Ann ", "Ann"),
        ("阿瓦隆", "阿瓦隆"),
        ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
        ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ("<b>'; --", "<b>'; --"),
    ] {
        assert_eq!(named(name), Ok(Some(accepted.to_owned())), "{name:?}");
    }
    assert_eq!(
        named(&"名".repeat(64)).unwrap().unwrap().chars().count(),
        64
    );
    for odd in [
        "名".repeat(65).as_str(),
        "a\nb",
        "a\0b",
        "a\u{7f}b",
        "a\u{85}b",
        "evil\u{202e}gpj",
        "\u{2066}a\u{2069}",
        "a\u{200f}b",
        "a\u{2028}b",
        "a\u{200b}b",
        "\u{3164}\u{3164}",
        "\u{2800}",
        "\u{200d}\u{fe0f}",
    ] {
        assert_eq!(
            named(odd).map_err(|error| error.field),
            Err("nickName"),
            "{odd:?}"
        );
    }
    for nothing in ["", "  ", "\u{3000}"] {
        assert_eq!(named(nothing), Ok(None), "{nothing:?}");
    }
}

#[test]
fn avatars_are_https_on_a_named_host_without_credentials() {
    let good = "https://thirdwx.qlogo.cn/mmopen/vi_32/abc/132";
    assert_eq!(avatar_url(good), Ok(Some(good.to_owned())));
    assert_eq!(
        avatar_url("http://wx.qlogo.cn/mmopen/a/0"),
        Ok(Some("https://wx.qlogo.cn/mmopen/a/0".to_owned())),
        "WeChat's own are made https"
    );
    assert_eq!(
        avatar_url("https://cdn.example.com/a.png"),
        Ok(Some("https://cdn.example.com/a.png".to_owned()))
    );
    assert_eq!(avatar_url(""), Ok(None));
    for (url, problem) in [
        ("http://cdn.example.com/a.png", "must be https"),
        ("http://wx.qlogo.cn.example.com/a", "must be https"),
        ("http://evilqlogo.cn/a", "must be https"),
        ("javascript:alert(1)", "must name its host"),
        ("data:image/png;base64,AAAA", "must name its host"),
        ("ftp://wx.qlogo.cn/a", "must be https"),
        ("wxfile://tmp/a.png", "must be https"),
        ("/a.png", "must be a URL"),
        ("https://", "must be a URL"),
        ("https://u:p@wx.qlogo.cn/a", "may not have credentials"),
        ("https://u@wx.qlogo.cn/a", "may not have credentials"),
        ("https://127.0.0.1/a", "must name its host"),
        ("https://[::1]/a", "must name its host"),
        ("https://wx.qlogo.cn:8443/a", "may not have a port"),
        (
            &format!("https://wx.qlogo.cn/{}", "x".repeat(512)),
            "is too long",
        ),
        (
            &format!("https://wx.qlogo.cn/{}", "名".repeat(100)),
            "is too long",
        ),
    ] {
        assert_eq!(avatar_url(url), Err(problem), "{url}");
    }
}

#[test]
fn avatars_can_be_restricted_to_hosts() {
    let hosts = ["qlogo.cn", "cdn.example.com"];
    for url in [
        "https://thirdwx.qlogo.cn/a",
        "https://qlogo.cn/a",
        "http://wx.qlogo.cn/a",
        "https://cdn.example.com/a",
        "https://CDN.Example.com/a",
    ] {
        assert!(avatar_on(url, &hosts).is_ok(), "{url}");
    }
    for url in [
        "https://example.com/a",
        "https://evilqlogo.cn/a",
        "https://qlogo.cn.example.com/a",
    ] {
        assert_eq!(
            avatar_on(url, &hosts),
            Err("is on a host that is not allowed"),
            "{url}"
        );
    }
}

#[test]
fn placeholders_of_anonymous_players_are_empty() {
    let grey = format!("https://thirdwx.qlogo.cn/mmopen/vi_32{GREY_AVATAR}132");
    let anonymous = UserProfile {
        nick_name: Some(ANONYMOUS.to_owned()),
        avatar_url: Some(grey.clone()),
        gender: Some(0),
        country: Some(String::new()),
        province: Some(String::new()),
        city: Some(String::new()),
        language: Some(String::new()),
        unreadable: Vec::new(),
    };
    assert!(check(anonymous.clone()).unwrap().is_empty());
    // Whatever the placeholder looks like.
    let another = UserProfile {
        avatar_url: Some("https://thirdwx.qlogo.cn/new-grey/132".to_owned()),
        ..anonymous
    };
    assert!(check(another).unwrap().is_empty());
    assert_eq!(avatar_url(&grey), Ok(None));
    assert!(check(UserProfile::default()).unwrap().is_empty());
}

#[test]
fn other_fields_are_bounded_and_errors_name_them() {
    let text = |text: &str| Some(text.to_owned());
    let long = "x".repeat(65);
    let base = UserProfile::default;
    for (field, profile) in [
        (
            "gender",
            UserProfile {
                gender: Some(3),
                ..base()
            },
        ),
        (
            "gender",
            UserProfile {
                gender: Some(-1),
                ..base()
            },
        ),
        (
            "country",
            UserProfile {
                country: text(&long),
                ..base()
            },
        ),
        (
            "province",
            UserProfile {
                province: text("a\tb"),
                ..base()
            },
        ),
        (
            "city",
            UserProfile {
                city: text("\u{202e}a"),
                ..base()
            },
        ),
        (
            "language",
            UserProfile {
                language: text(&long),
                ..base()
            },
        ),
        (
            "language",
            UserProfile {
                language: text("中文"),
                ..base()
            },
        ),
    ] {
        assert_eq!(check(profile).unwrap_err().field, field);
    }
    let whole = UserProfile {
        gender: Some(2),
        country: text("CN"),
        province: text("Guangdong"),
        city: text("广州"),
        language: text("zh_CN"),
        ..base()
    };
    let fields = check(whole).unwrap();
    assert_eq!(fields.gender, Some(2));
    assert_eq!(fields.city.as_deref(), Some("广州"));
    assert_eq!(fields.language.as_deref(), Some("zh_CN"));
}

#[test]
fn an_invalid_field_leaves_the_others() {
    let text = |text: &str| Some(text.to_owned());
    let profile = UserProfile {
        nick_name: text("An\u{200b}n"),
        avatar_url: text("https://wx.qlogo.cn/a"),
        gender: Some(3),
        city: text("广州"),
        ..UserProfile::default()
    };
    let (fields, left_out) = Fields::check(profile, &AvatarHosts::default());
    let expected = Fields {
        avatar_url: text("https://wx.qlogo.cn/a"),
        city: text("广州"),
        ..Fields::default()
    };
    assert_eq!(fields, expected);
    let left_out: Vec<_> = left_out.iter().map(|error| error.field).collect();
    assert_eq!(left_out, ["nickName", "gender"]);
}

proptest! {
    #[test]
    fn accepted_fields_satisfy_the_rules_for_any_input(name in ".{0,90}", url in "(https?://)?.{0,60}") {
        if let Ok(Some(accepted)) = named(&name) {
            prop_assert!((1..=64).contains(&accepted.chars().count()));
            prop_assert!(!accepted.chars().any(char::is_control));
            prop_assert_eq!(accepted.trim(), &accepted);
        }
        if let Ok(Some(accepted)) = avatar_url(&url) {
            prop_assert!(accepted.starts_with("https://") && accepted.len() <= 512);
            // Accepted fields are accepted again, unchanged.
            prop_assert_eq!(avatar_url(&accepted), Ok(Some(accepted)));
        }
    }
}
