//! A player's profile as `wx.getUserInfo` and `wx.getUserProfile` give it. Only the kinds of the fields
//! are checked: what they may hold is the business of whoever shows them.

use crate::client_data::Fields;
use crate::{DataError, OpenId, OpenedData, UnionId};

/// A profile. Each field may be absent or empty: WeChat leaves out more of them with each year.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserProfile {
    /// Chosen by the player; `微信用户` for one whom WeChat does not name.
    pub nick_name: Option<String>,
    /// Of the player's picture; ends in a size.
    pub avatar_url: Option<String>,
    /// 0 unknown, 1 male, 2 female. Always 0 since 2021.
    pub gender: Option<i64>,
    /// As WeChat writes it; empty since 2021.
    pub country: Option<String>,
    /// As WeChat writes it; empty since 2021.
    pub province: Option<String>,
    /// As WeChat writes it; empty since 2021.
    pub city: Option<String>,
    /// Such as `zh_CN`.
    pub language: Option<String>,
}

impl UserProfile {
    pub(crate) fn read(fields: &Fields) -> Result<Self, DataError> {
        Ok(Self {
            nick_name: fields.text("nickName")?,
            avatar_url: fields.text("avatarUrl")?,
            gender: fields.integer("gender"),
            country: fields.text("country")?,
            province: fields.text("province")?,
            city: fields.text("city")?,
            language: fields.text("language")?,
        })
    }
}

/// A profile out of `encryptedData`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedProfile {
    /// Whose it is; absent from `wx.getUserProfile`.
    pub open_id: Option<OpenId>,
    /// The player across apps; absent from `wx.getUserProfile`, and for apps that are bound to no Open
    /// Platform account.
    pub union_id: Option<UnionId>,
    /// The rest.
    pub profile: UserProfile,
}

impl OpenedData {
    /// The profile that the data are.
    ///
    /// # Errors
    /// [`DataError::Field`] when a field is of the wrong kind.
    pub fn profile(&self) -> Result<EncryptedProfile, DataError> {
        Ok(EncryptedProfile {
            open_id: self.fields.id("openId")?.map(OpenId::new),
            union_id: self.fields.id("unionId")?.map(UnionId::new),
            profile: UserProfile::read(&self.fields)?,
        })
    }
}
