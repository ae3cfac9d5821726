//! The volume a sandbox works in: claimed for each sandbox, and filled from the image the first time.

use serde_json::{Value, json};

use super::{Template, WORK_DIRECTORY, WORKSPACE_CONTAINER, WORKSPACE_VOLUME, insert};
use crate::request::{ClaimMount, SandboxRequest};

/// Where the init container sees the volume; the image's own files are still at their place then.
const VOLUME_DIRECTORY: &str = "/workspace-pvc";
/// The file that says that the volume was filled.
const SENTINEL: &str = ".workspace-initialized";

/// Copies the image's files into a volume that was never filled. The pipe's first half may fail without the second one's
/// knowledge, so it leaves a trace.
const SCRIPT: &str = "set -eu
[ ! -e VOLUME/SENTINEL ] || exit 0
if [ -n \"$(find WORK -mindepth 1 -maxdepth 1 2>/dev/null)\" ]; then
  failed=$(mktemp)
  { tar -C WORK -cf - . || echo failed > \"$failed\"; } | tar -C VOLUME -xpf -
  [ ! -s \"$failed\" ]
fi
touch VOLUME/SENTINEL
";

impl Template<'_> {
    /// The templates of the claims of a sandbox: the workspace's, unless the user brings a volume for it.
    pub fn claims(&self, request: &SandboxRequest) -> Vec<Value> {
        self.workspace_claim(request).into_iter().collect()
    }

    pub(super) fn workspace_claim(&self, request: &SandboxRequest) -> Option<Value> {
        let volume = self.defaults.pod.workspace.as_ref()?;
        let has_own = request.driver.mounts.iter().any(ClaimMount::is_in_workspace);
        if has_own && !self.faults.keeps_workspace_claim() {
            return None;
        }
        let mut spec =
            json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": volume.size } } });
        if let Some(class) = &volume.storage_class {
            insert(&mut spec, "storageClassName", json!(class));
        }
        Some(json!({ "metadata": { "name": WORKSPACE_VOLUME }, "spec": spec }))
    }

    /// Fills a fresh volume; it runs in the agent image, which needs `sh`, `find`, `tar`, `mktemp` and `touch` for it.
    pub(super) fn workspace_container(&self, request: &SandboxRequest) -> Option<Value> {
        self.workspace_claim(request)?;
        let script =
            SCRIPT.replace("VOLUME", VOLUME_DIRECTORY).replace("SENTINEL", SENTINEL).replace("WORK", WORK_DIRECTORY);
        let container = json!({
            "name": WORKSPACE_CONTAINER,
            "command": ["sh", "-c", script],
            "securityContext": { "runAsUser": 0 },
            "volumeMounts": [{ "name": WORKSPACE_VOLUME, "mountPath": VOLUME_DIRECTORY }],
        });
        Some(self.of_agent_image(request, container))
    }
}
