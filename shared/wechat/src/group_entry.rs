//! The chat from which the game was opened, from the encrypted data of `wx.getShareInfo` and
//! `wx.getGroupEnterInfo`. Which ids are present depends on the chat.

use crate::{DataError, OpenedData};

/// The chat from which a player entered. Ids are valid within our app only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupEntry {
    /// The group: `openGId` of `wx.getShareInfo`, `opengid` of `wx.getGroupEnterInfo`.
    pub open_gid: Option<String>,
    /// A one-to-one chat: `open_single_roomid`.
    pub open_single_room_id: Option<String>,
    /// The player within the group: `group_openid`.
    pub group_open_id: Option<String>,
    /// The kind of chat, in WeChat's numbers: `chat_type`.
    pub chat_type: Option<i64>,
}

impl OpenedData {
    /// Reads the chat.
    ///
    /// # Errors
    /// [`DataError::Field`] when a field is of the wrong type.
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
