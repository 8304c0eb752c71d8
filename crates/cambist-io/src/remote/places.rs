//! Where to fetch from and where to keep it, as the environment says.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use super::RemoteError;

/// A token, which no message and no dump ever shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a token; none when it is blank.
    pub fn new(token: &str) -> Option<Self> {
        Some(Self(token.trim().to_owned())).filter(|secret| !secret.0.is_empty())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where to fetch from and where to keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The Hub's address without a slash at the end; `https://huggingface.co` by default (`HF_ENDPOINT`).
    pub hub: String,
    /// The folder of all repositories (`HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in `~/.cache/huggingface`).
    pub cache: PathBuf,
    /// The token for the Hub (`HF_TOKEN`, else the file `token` in `HF_HOME`).
    pub token: Option<Secret>,
    /// Whether only the cache may be used (`HF_HUB_OFFLINE`).
    pub is_offline: bool,
}

impl Places {
    /// Reads the environment as the `huggingface_hub` package does.
    ///
    /// # Errors
    /// [`RemoteError::NoCache`] when neither of the variables nor a home folder is set.
    pub fn from_env() -> Result<Self, RemoteError> {
        Self::from_variables(&|name| env::var(name).ok())
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, RemoteError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let below_home = || set("HOME").map(|home| Path::new(&home).join(".cache"));
        let above = || set("XDG_CACHE_HOME").map(PathBuf::from).or_else(below_home);
        let home = set("HF_HOME").map(PathBuf::from).or_else(|| above().map(|cache| cache.join("huggingface")));
        let cache = set("HF_HUB_CACHE").map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join("hub")));
        let stored = || std::fs::read_to_string(home.as_ref()?.join("token")).ok();
        let is_on = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        Ok(Self {
            hub: set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()).trim_end_matches('/').to_owned(),
            cache: cache.ok_or(RemoteError::NoCache)?,
            token: set("HF_TOKEN").or_else(stored).and_then(|token| Secret::new(&token)),
            is_offline: set("HF_HUB_OFFLINE").is_some_and(is_on),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)]) -> Result<Places, RemoteError> {
        Places::from_variables(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_of_the_hub() {
        let found = places(&[("HOME", "/nobody"), ("HF_TOKEN", " hf_secret\n"), ("HF_HUB_OFFLINE", "1")]).unwrap();
        assert_eq!(found.cache, Path::new("/nobody/.cache/huggingface/hub"));
        assert!(found.is_offline && found.hub == "https://huggingface.co");
        assert_eq!(found.token.as_ref().unwrap().reveal(), "hf_secret");
        assert!(!format!("{found:?}").contains("hf_secret"));
        let moved =
            places(&[("HF_HOME", "/h"), ("HF_ENDPOINT", "http://127.0.0.1:1/"), ("HF_HUB_OFFLINE", "0")]).unwrap();
        assert_eq!((moved.cache.as_path(), moved.hub.as_str()), (Path::new("/h/hub"), "http://127.0.0.1:1"));
        assert!(!moved.is_offline && moved.token.is_none());
        assert_eq!(places(&[("HF_HUB_CACHE", "/c")]).unwrap().cache, Path::new("/c"));
        assert!(matches!(places(&[]), Err(RemoteError::NoCache)));
    }
}
