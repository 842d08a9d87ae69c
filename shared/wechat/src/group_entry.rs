//! The chat that the game was opened from, as `wx.getShareInfo` and `wx.getGroupEnterInfo` give it
//! encrypted. Which of the ids are there depends on the chat.

use crate::{DataError, OpenedData};

/// Where a player came from. Ids are good within our app only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupEntry {
    /// The group: `openGId` of `wx.getShareInfo`, `opengid` of `wx.getGroupEnterInfo`.
    pub open_gid: Option<String>,
    /// A chat of two: `open_single_roomid`.
    pub open_single_room_id: Option<String>,
    /// The player within the group: `group_openid`.
    pub group_open_id: Option<String>,
    /// The kind of chat, in WeChat's numbers: `chat_type`.
    pub chat_type: Option<i64>,
}

impl OpenedData {
    /// The chat that the data are about.
    ///
    /// # Errors
    /// [`DataError::Field`] when a field is of the wrong kind.
    pub fn group_entry(&self) -> Result<GroupEntry, DataError> {
        let fields = &self.fields;
        Ok(GroupEntry {
            open_gid: match fields.id("openGId")? {
                Some(id) => Some(id),
                None => fields.id("opengid")?,
            },
            open_single_room_id: fields.id("open_single_roomid")?,
            group_open_id: fields.id("group_openid")?,
            chat_type: fields.integer("chat_type"),
        })
    }
}
