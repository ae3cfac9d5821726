//! Settings that are one of a closed set of names.

use std::fmt;
use std::str::FromStr;

use super::ConfigError;

/// How the supervisor gets into a sandbox's pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideloadMethod {
    /// The supervisor image is mounted as a read-only volume.
    ImageVolume,
    /// An init container of the supervisor image copies the supervisor into an empty directory.
    InitContainer,
}

impl SideloadMethod {
    /// The name as flags, values and requests spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageVolume => "image-volume",
            Self::InitContainer => "init-container",
        }
    }
}

impl fmt::Display for SideloadMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for SideloadMethod {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "image-volume" => Ok(Self::ImageVolume),
            "init-container" => Ok(Self::InitContainer),
            other => Err(ConfigError::SideloadMethod(other.to_owned())),
        }
    }
}

/// When the kubelet pulls an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// At each start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never; the node must have it.
    Never,
}

impl PullPolicy {
    /// Kubernetes' spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }

    /// The policy of that name; an empty text is no policy.
    pub fn parse(field: &'static str, text: &str) -> Result<Option<Self>, ConfigError> {
        match text {
            "" => Ok(None),
            "Always" => Ok(Some(Self::Always)),
            "IfNotPresent" => Ok(Some(Self::IfNotPresent)),
            "Never" => Ok(Some(Self::Never)),
            other => Err(ConfigError::PullPolicy { field, found: other.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("tarball")]
    #[case("Image-Volume")]
    #[case("image_volume")]
    #[case("")]
    fn unknown_sideload_methods(#[case] text: &str) {
        assert_eq!(
            text.parse::<SideloadMethod>().unwrap_err().to_string(),
            format!("unknown supervisor sideload method '{text}'; expected 'image-volume' or 'init-container'")
        );
    }
}
