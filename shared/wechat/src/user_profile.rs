//! A player's profile, as returned by `wx.getUserInfo` and `wx.getUserProfile`. Only field types are
//! checked; the values must be validated before they are shown.

use crate::client_data::Fields;
use crate::{DataError, OpenId, OpenedData, UnionId};

/// A profile. Each field may be absent or empty: WeChat omits more of them every year.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserProfile {
    /// Chosen by the player; `微信用户` when WeChat withholds it.
    pub nick_name: Option<String>,
    /// URL of the player's picture; ends in a size.
    pub avatar_url: Option<String>,
    /// 0 unknown, 1 male, 2 female. Always 0 since 2021.
    pub gender: Option<i64>,
    /// Free text from WeChat; empty since 2021.
    pub country: Option<String>,
    /// Free text from WeChat; empty since 2021.
    pub province: Option<String>,
    /// Free text from WeChat; empty since 2021.
    pub city: Option<String>,
    /// Locale, such as `zh_CN`.
    pub language: Option<String>,
    /// WeChat's names of the fields whose values cannot be read; those are `None` above.
    pub unreadable: Vec<&'static str>,
}

impl UserProfile {
    /// Reads the fields one by one: an odd one does not cost the others.
    pub(crate) fn read(fields: &Fields) -> Self {
        let mut unreadable = Vec::new();
        if fields.is_unreadable("gender") {
            unreadable.push("gender");
        }
        let mut text = |name| {
            fields.text(name).unwrap_or_else(|_| {
                unreadable.push(name);
                None
            })
        };
        Self {
            nick_name: text("nickName"),
            avatar_url: text("avatarUrl"),
            gender: fields.integer("gender"),
            country: text("country"),
            province: text("province"),
            city: text("city"),
            language: text("language"),
            unreadable,
        }
    }
}

/// A profile from `encryptedData`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedProfile {
    /// The player; absent from `wx.getUserProfile`.
    pub open_id: Option<OpenId>,
    /// The player across apps; absent from `wx.getUserProfile`, and for apps that are not bound to an
    /// Open Platform account.
    pub union_id: Option<UnionId>,
    /// The profile fields.
    pub profile: UserProfile,
}

impl OpenedData {
    /// Reads the profile.
    ///
    /// # Errors
    /// [`DataError::Field`] when an id cannot be read.
    pub fn profile(&self) -> Result<EncryptedProfile, DataError> {
        Ok(EncryptedProfile {
            open_id: self.fields.id("openId")?.map(OpenId::new),
            union_id: self.fields.id("unionId")?.map(UnionId::new),
            profile: UserProfile::read(&self.fields),
        })
    }
}
