//! The rules of the repository that no compiler holds.

mod crates;
mod files;
mod links;
mod text;

use anyhow::Result;

use crate::suite;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Checks all of them.
pub(crate) async fn run(workspace: &Workspace) -> Result<Tally> {
    let files = workspace.text_files().await?;
    let mut tally = Tally::default();
    files::check(&files, &mut tally);
    text::check(&files, &mut tally);
    links::check(&files, &mut tally);
    crates::check(workspace, &workspace.crates().await?, &mut tally)?;
    suite::check(workspace, &mut tally)?;
    Ok(tally)
}
