//! Building a component from its pinned Go module. This is what works where only
//! package mirrors can be reached.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::{
    Step,
    pins::{BuildPin, ComponentPin},
    template::{Template, TemplateError},
};
use crate::{
    host::program,
    process::{Process, ProcessError, SpawnStdio},
};

/// The oldest Go that knows `tool` lines and can fetch a newer Go by itself.
const OLDEST_GO: (u32, u32) = (1, 24);

/// The deadline of fetching modules.
const MODULES_DEADLINE: Duration = Duration::from_mins(15);

/// The deadline of compiling and linking one program: Kubernetes takes ten minutes on two idle cores.
const COMPILE_DEADLINE: Duration = Duration::from_hours(1);

/// How often a build reports how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Lines of a failed build's output that are repeated.
const TAIL: usize = 15;

/// Why a build failed.
#[derive(Debug, Error)]
pub(super) enum BuildError {
    #[error(
        "Go is not installed, and nothing but a build is within reach; install Go {0} or newer from https://go.dev/dl"
    )]
    GoMissing(String),
    #[error("{found} is too old; install Go {needed} or newer from https://go.dev/dl")]
    GoTooOld { found: String, needed: String },
    #[error("{program} is not installed; apt-get install --no-install-recommends {packages}")]
    CompilerMissing { program: &'static str, packages: String },
    #[error("{0} has no go.mod")]
    NoModule(Utf8PathBuf),
    #[error("cannot fetch its Go modules (is a module mirror within reach? GOPROXY is `{proxy}`): {source}")]
    Modules { proxy: String, source: ProcessError },
    #[error("compiling {program} failed:\n{tail}{hint}")]
    Compile { program: String, tail: String, hint: String },
    #[error("compiling {program} did not end within {} min", COMPILE_DEADLINE.as_secs() / 60)]
    Deadline { program: String },
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("cannot understand what `{command}` said: {answer}")]
    Answer { command: &'static str, answer: String },
    #[error(transparent)]
    File(#[from] std::io::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct GoEnvironment {
    goversion: String,
    gotoolchain: String,
    goproxy: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModuleDownload {
    dir: Option<Utf8PathBuf>,
}

/// Builds `pin` at the version of `template` into `directory`; returns what built it.
pub(super) async fn build(
    module: &Utf8Path,
    pin: &ComponentPin,
    template: &Template,
    directory: &Utf8Path,
    mut progress: impl FnMut(Step, String),
) -> Result<String, BuildError> {
    let build = &pin.build;
    let environment = check(module, build).await?;
    progress(Step::Modules, build.module.clone());
    let packages = packages(module, build, &environment).await?;
    for (program, package) in &build.programs {
        let output = directory.join(program);
        let arguments = arguments(build, template, package, &output)?;
        let counted = |done: usize, of: usize| format!("{program}: {done} of at most {of} packages");
        progress(Step::Compile, counted(0, packages));
        let started = go(module, build).args(&arguments).deadline(COMPILE_DEADLINE);
        compile(started, program, build, |done| progress(Step::Compile, counted(done, packages))).await?;
    }
    for (program, links) in &build.links {
        for link in links {
            fs_err::hard_link(directory.join(program), directory.join(link))?;
        }
    }
    if !build.c.is_empty() || !build.directories.is_empty() {
        let sources = sources(module, build, &environment).await?;
        for (program, source) in &build.c {
            progress(Step::Compile, program.clone());
            compile_c(&sources.join(&source.directory), &source.flags, &directory.join(program)).await?;
        }
        for (name, path) in &build.directories {
            copy(&sources.join(path), &directory.join(name))?;
        }
    }
    Ok(format!("{} with {}", build.module, environment.goversion))
}

/// A `go` command in the module's directory, with the settings that make a build repeatable.
pub(super) fn go(module: &Utf8Path, build: &BuildPin) -> Process {
    // Clusters may run beside a build, and their deadlines do not wait for it.
    let go = program("go").unwrap_or_else(|| "go".into());
    Process::new("nice")
        .args(["-n", "10", go.as_str()])
        .current_dir(module)
        .env("CGO_ENABLED", if build.cgo { "1" } else { "0" })
        // Settings of the user's that would change the result.
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("GOOS", "linux")
        .env("GO111MODULE", "on")
}

/// The arguments of `go build`.
pub(super) fn arguments(
    build: &BuildPin,
    template: &Template,
    package: &str,
    output: &Utf8Path,
) -> Result<Vec<String>, TemplateError> {
    let mut flags = vec!["-s".to_owned(), "-w".to_owned()];
    if build.cgo {
        flags.push("-extldflags=-static".to_owned());
    }
    for (variable, value) in &build.variables {
        flags.push(format!("-X {variable}={}", template.expand(value)?));
    }
    let mut arguments = vec!["build".to_owned(), "-v".to_owned(), "-trimpath".to_owned(), "-buildvcs=false".to_owned()];
    if !build.tags.is_empty() {
        arguments.push(format!("-tags={}", build.tags.join(",")));
    }
    arguments.push(format!("-ldflags={}", flags.join(" ")));
    arguments.extend(["-o".to_owned(), output.to_string(), package.to_owned()]);
    Ok(arguments)
}

/// Whether this host can build it at all.
async fn check(module: &Utf8Path, build: &BuildPin) -> Result<GoEnvironment, BuildError> {
    let manifest = module.join("go.mod");
    let text = fs_err::read_to_string(&manifest).map_err(|_| BuildError::NoModule(module.to_owned()))?;
    let needed = go_line(&text).unwrap_or_else(|| format!("{}.{}", OLDEST_GO.0, OLDEST_GO.1));
    let Some(go) = program("go") else { return Err(BuildError::GoMissing(needed)) };
    // Asked outside of the module: inside it, an older Go would first fetch the one that it names.
    let answer = Process::new(go)
        .args(["env", "-json", "GOVERSION", "GOTOOLCHAIN", "GOPROXY"])
        .current_dir("/")
        .env("GOWORK", "off")
        .run()
        .await?
        .stdout;
    let environment: GoEnvironment = serde_json::from_str(&answer)
        .map_err(|_| BuildError::Answer { command: "go env -json", answer: answer.clone() })?;
    if !new_enough(&environment.goversion, &environment.gotoolchain, &needed) {
        return Err(BuildError::GoTooOld { found: environment.goversion, needed });
    }
    let compilers: &[&'static str] = match (build.cgo, build.c.is_empty()) {
        (true, _) => &["gcc", "pkg-config"],
        (false, false) => &["gcc"],
        (false, true) => &[],
    };
    match compilers.iter().find(|program| which::which(program).is_err()) {
        Some(program) => Err(BuildError::CompilerMissing { program, packages: build.packages.join(" ") }),
        None => Ok(environment),
    }
}

/// The version of a `go.mod`'s `go` line.
pub(super) fn go_line(text: &str) -> Option<String> {
    text.lines().find_map(|line| Some(line.strip_prefix("go ")?.trim().to_owned()))
}

/// Whether a Go of this version (`go1.26.8`) can build a module that needs `needed` (`1.26.0`):
/// because it is as new, or because it may fetch a newer one by itself.
pub(super) fn new_enough(found: &str, toolchain: &str, needed: &str) -> bool {
    let numbers = |version: &str| -> Vec<u32> {
        let digits = version.trim_start_matches("go");
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        digits[..end].split('.').map(|number| number.parse().unwrap_or(0)).collect()
    };
    let (found, needed) = (numbers(found), numbers(needed));
    found >= needed || (toolchain != "local" && found >= vec![OLDEST_GO.0, OLDEST_GO.1])
}

/// Fetches the modules that the programs need; returns the number of packages to compile.
async fn packages(module: &Utf8Path, build: &BuildPin, environment: &GoEnvironment) -> Result<usize, BuildError> {
    let mut arguments = vec!["list".to_owned(), "-deps".to_owned()];
    if !build.tags.is_empty() {
        arguments.push(format!("-tags={}", build.tags.join(",")));
    }
    arguments.extend(build.programs.values().cloned());
    let listed = go(module, build)
        .args(arguments)
        .deadline(MODULES_DEADLINE)
        .run()
        .await
        .map_err(|source| BuildError::Modules { proxy: environment.goproxy.clone(), source })?;
    Ok(listed.stdout.lines().count())
}

/// Where the module of a component is unpacked, fetched where it is not there yet.
pub(super) async fn unpacked(module: &Utf8Path, pin: &ComponentPin) -> Result<Utf8PathBuf, BuildError> {
    let environment = check(module, &pin.build).await?;
    sources(module, &pin.build, &environment).await
}

/// Where the component's own module is unpacked.
async fn sources(module: &Utf8Path, build: &BuildPin, environment: &GoEnvironment) -> Result<Utf8PathBuf, BuildError> {
    let answer = go(module, build)
        .args(["mod", "download", "-json", &build.module])
        .deadline(MODULES_DEADLINE)
        .run()
        .await
        .map_err(|source| BuildError::Modules { proxy: environment.goproxy.clone(), source })?
        .stdout;
    serde_json::from_str::<ModuleDownload>(&answer)
        .ok()
        .and_then(|download| download.dir)
        .ok_or(BuildError::Answer { command: "go mod download -json", answer })
}

/// Runs `go build -v`, which prints each package that it compiles.
async fn compile(
    process: Process,
    program: &str,
    build: &BuildPin,
    mut progress: impl FnMut(usize),
) -> Result<(), BuildError> {
    let mut child =
        process.spawn(SpawnStdio { stdin: Stdio::null(), stdout: Stdio::null(), stderr: Stdio::piped() })?;
    let work = async {
        let lines = match child.stderr.take() {
            Some(stderr) => follow(stderr, &mut progress).await?,
            None => Vec::new(),
        };
        Ok::<_, std::io::Error>((child.wait().await?, lines))
    };
    let (status, lines) = tokio::time::timeout(COMPILE_DEADLINE, work)
        .await
        .map_err(|_| BuildError::Deadline { program: program.to_owned() })??;
    if status.success() {
        return Ok(());
    }
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    let hint = if build.packages.is_empty() {
        String::new()
    } else {
        format!("\nit needs: apt-get install --no-install-recommends {}", build.packages.join(" "))
    };
    Err(BuildError::Compile { program: program.to_owned(), tail, hint })
}

/// Counts packages; returns the lines that are not one.
async fn follow(output: impl AsyncRead + Unpin, progress: &mut impl FnMut(usize)) -> std::io::Result<Vec<String>> {
    let mut lines = BufReader::new(output).lines();
    let (mut compiled, mut other, mut reported) = (0, Vec::new(), Instant::now());
    while let Some(line) = lines.next_line().await? {
        if is_package(&line) {
            compiled += 1;
        } else {
            other.push(line);
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            progress(compiled);
        }
    }
    Ok(other)
}

/// Whether a line is an import path rather than a message.
fn is_package(line: &str) -> bool {
    !line.is_empty() && !line.contains([' ', ':', '\t'])
}

async fn compile_c(sources: &Utf8Path, flags: &[String], output: &Utf8Path) -> Result<(), BuildError> {
    let mut files: Vec<String> = Vec::new();
    for entry in fs_err::read_dir(sources)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Utf8Path::new(&name).extension() == Some("c") {
            files.push(name);
        }
    }
    files.sort();
    Process::new("gcc")
        .args(flags)
        .args(["-o", output.as_str()])
        .args(files)
        .current_dir(sources)
        .deadline(MODULES_DEADLINE)
        .run()
        .await?;
    Ok(())
}

/// Copies a directory of the module cache, whose files are read-only, as writable files.
fn copy(from: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            copy(&from.join(&name), &to.join(&name))?;
        } else {
            fs_err::write(to.join(&name), fs_err::read(from.join(&name))?)?;
        }
    }
    Ok(())
}
