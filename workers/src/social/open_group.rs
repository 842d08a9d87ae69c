//! The job behind `share/group`: reads the group in which a share was opened, and makes the player a member.

use std::sync::Arc;

use avalon_core::jobs::OpenGroup;
use avalon_core::jobs::open_group::GroupOpened;
use avalon_core::social::boards;
use avalon_core::social::shares::ShareError;
use avalon_queue::{JobContext, JobError};
use avalon_wechat::EncryptedData;
use jiff::Timestamp;

use crate::accounts::client_data;
use crate::accounts::metrics::{DataKind, DataOutcome};
use crate::job_errors;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: OpenGroup,
    context: JobContext,
) -> Result<GroupOpened, JobError> {
    let kind = DataKind::Group;
    let data = EncryptedData::parse(&job.encrypted_data, &job.iv).map_err(job_errors::field)?;
    let received_at = client_data::received_at(&context);
    let opened =
        client_data::open_encrypted(&services, kind, &job.open_id, &data, received_at).await?;
    let entry = opened
        .group_entry()
        .map_err(|error| client_data::refuse(&services, kind, error))?;
    let Some(open_gid) = entry.open_gid else {
        // A chat of two people, or a profile sent to the wrong route.
        services.profile_metrics.data(kind, DataOutcome::NoGroup);
        return Err(job_errors::field("encryptedData: it names no group"));
    };
    // The player may read the rankings of the group.
    let joined = boards::join_group(&services.database, &open_gid, job.user_id, Timestamp::now());
    joined.await.map_err(job_errors::database)?;
    services.profile_metrics.data(kind, DataOutcome::Accepted);
    if let Some(share_id) = &job.share_id {
        let now = Timestamp::now();
        let opened = services
            .shares
            .opened_in_group(job.user_id, share_id, &open_gid, now);
        match opened.await {
            Ok(()) => {}
            Err(ShareError::Database(error)) => return Err(job_errors::database(error)),
            // Checked by the route; it has expired since.
            Err(error) => tracing::debug!(%error, "opening of a share not recorded"),
        }
    }
    Ok(GroupOpened { open_gid })
}
