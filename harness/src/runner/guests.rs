//! The images that run inside a cluster, built in process and pushed to the run's registry.

use camino::{Utf8Path, Utf8PathBuf};
use sandproof_clusters::images::{Image, ImageBuilder};

use crate::{failure::Failure, paths::Paths};

/// The applets that upstream's workspace init needs, and a few for a person with a shell.
const APPLETS: &[&str] = &["sh", "find", "tar", "mktemp", "touch", "cat", "ls", "sleep", "mkdir", "id", "mount"];

/// Where Debian's busybox-static puts the binary.
const BUSYBOX: &str = "/bin/busybox";

/// The images.
#[derive(Debug, Clone)]
pub(crate) struct Guests {
    /// Holds `/openshell-sandbox` alone.
    pub(crate) supervisor: Image,
    /// Holds a file that is no program: a supervisor image from which the binary was left out.
    pub(crate) hollow: Image,
    /// What runs in a sandbox: the probe and a small userland.
    pub(crate) agent: Image,
    /// The reference driver.
    pub(crate) driver: Image,
    /// The infrastructure container of a pod.
    pub(crate) pause: Image,
    /// The Agent Sandbox controller.
    pub(crate) controller: Image,
}

impl Guests {
    /// How many images there are.
    pub(crate) const COUNT: usize = 5;

    /// Builds them; `driver` and `controller` are the programs' paths.
    pub(crate) fn build(paths: &Paths, driver: &Utf8Path, controller: &Utf8Path) -> Result<Self, Failure> {
        let probe = paths.program("sandproof-probe")?;
        let supervisor = paths.program("openshell-sandbox")?;
        let busybox = Utf8PathBuf::from(BUSYBOX);
        let failed = |error| Failure::environment("build the guest images", error);
        let mut agent = ImageBuilder::new()
            .file("/sandproof-probe", &probe, 0o755)
            .file("/bin/busybox", &busybox, 0o755)
            .directory("/sandbox", 0o755)
            .directory("/tmp", 0o1777)
            .entrypoint(["/sandproof-probe", "idle"])
            .env("PATH", "/bin");
        for applet in APPLETS {
            agent = agent.symlink(&format!("/bin/{applet}"), "/bin/busybox");
        }
        Ok(Self {
            supervisor: ImageBuilder::new()
                .file("/openshell-sandbox", &supervisor, 0o555)
                .entrypoint(["/openshell-sandbox"])
                .build()
                .map_err(failed)?,
            hollow: ImageBuilder::new()
                .file("/README", b"The supervisor is missing here.\n".to_vec(), 0o444)
                .entrypoint(["/openshell-sandbox"])
                .build()
                .map_err(failed)?,
            agent: agent.build().map_err(failed)?,
            driver: ImageBuilder::new()
                .file("/driver", driver, 0o755)
                .entrypoint(["/driver"])
                .build()
                .map_err(failed)?,
            pause: ImageBuilder::new()
                .file("/pause", &probe, 0o755)
                .entrypoint(["/pause", "idle"])
                .build()
                .map_err(failed)?,
            controller: Self::controller(controller)?,
        })
    }

    /// The same images with another Agent Sandbox controller.
    pub(crate) fn with_controller(&self, controller: &Utf8Path) -> Result<Self, Failure> {
        Ok(Self { controller: Self::controller(controller)?, ..self.clone() })
    }

    /// The supervisor's image with faults.
    pub(crate) fn faulty_supervisor(paths: &Paths, faults: &[String]) -> Result<Image, Failure> {
        let program = paths.program("openshell-sandbox-faults")?;
        ImageBuilder::new()
            .file("/openshell-sandbox", &program, 0o555)
            .file("/openshell-sandbox.faults", faults.join("\n").into_bytes(), 0o444)
            .entrypoint(["/openshell-sandbox"])
            .build()
            .map_err(|error| Failure::environment("build the guest images", error))
    }

    /// The image of a release's Agent Sandbox controller.
    pub(crate) fn controller(program: &Utf8Path) -> Result<Image, Failure> {
        ImageBuilder::new()
            .file("/agent-sandbox-controller", program, 0o755)
            .entrypoint(["/agent-sandbox-controller"])
            .build()
            .map_err(|error| Failure::environment("build the guest images", error))
    }
}
