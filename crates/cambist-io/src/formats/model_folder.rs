//! Hugging Face model folders, and GGUF files, as bytes; what is inside is not this crate's business.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cambist_core::fault::Fault;

use crate::disk::{self, DiskError};

/// What can be wrong with a model folder.
#[derive(Debug, thiserror::Error)]
pub enum ModelFolderError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file stands where a folder was expected.
    #[error("`{path}` is a file: expected a model folder with `config.json`")]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// A file that every model has is not there.
    #[error("`{path}` is no model folder: `{file}` is missing")]
    MissingFile {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        file: &'static str,
    },
    /// Several GGUF files, each a whole model.
    #[error("`{path}` holds several GGUF files: {files}; name one of them")]
    ManyGguf {
        /// The folder.
        path: PathBuf,
        /// Their names.
        files: String,
    },
    /// A part of a model.
    #[error("`{path}` is one of several parts of a GGUF model; join them with llama.cpp's `llama-gguf-split --merge`")]
    SplitGguf {
        /// The file.
        path: PathBuf,
    },
    /// The weights are pickled: loading them would run whatever program they hold.
    #[error("`{path}` holds pickled weights, which can run any program: save the model as safetensors first")]
    Pickled {
        /// The file.
        path: PathBuf,
    },
    /// A name that no model folder has.
    #[error("`{name}` is no file of a model folder: expected {expected}")]
    UnknownFile {
        /// The name.
        name: String,
        /// The names that are written.
        expected: String,
    },
}

impl ModelFolderError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Disk(error) => error.fault(),
            Self::NotAFolder { .. }
            | Self::MissingFile { .. }
            | Self::ManyGguf { .. }
            | Self::SplitGguf { .. }
            | Self::Pickled { .. } => Fault::You,
            Self::UnknownFile { .. } => Fault::Us,
        }
    }
}

type Result<T> = std::result::Result<T, ModelFolderError>;

/// The files that are read and written; everything else in a model folder is left alone.
const FILES: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "README.md",
];

/// The suffixes of weights, and of the index of sharded ones.
const SUFFIXES: &[&str] = &[".safetensors", ".safetensors.index.json"];

/// How an adapter was made; a folder with it and without `config.json` is an adapter's.
const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Its numbers.
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// The suffix of llama.cpp's files.
const GGUF: &str = ".gguf";

/// What each part of a model that was cut up has in its name.
const PART_OF: &str = "-of-";

/// Returns the known files of a Hugging Face model folder by their names: configuration, tokenizer, chat template and
/// safetensors. A GGUF file, or a folder that holds one and no safetensors, is read with the tokenizer and the chat template
/// beside it.
///
/// # Errors
/// When it is no folder and no GGUF file, has no `config.json` or no weights, has only pickled weights, or holds several GGUF
/// files.
pub fn read_model_folder(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    if path.is_file() && name_of(path).ends_with(GGUF) {
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        return read_gguf(path, beside.unwrap_or(Path::new(".")));
    }
    let all = entries(path)?;
    let is_of = |suffix: &str| all.iter().filter(|file| name_of(file).ends_with(suffix)).collect::<Vec<_>>();
    match (is_of(".safetensors").as_slice(), is_of(GGUF).as_slice()) {
        ([], [file]) => return read_gguf(file, path),
        ([], files @ [_, _, ..]) => {
            let names: Vec<String> = files.iter().map(|file| format!("`{}`", name_of(file))).collect();
            return Err(ModelFolderError::ManyGguf { path: path.to_owned(), files: names.join(", ") });
        }
        _ => {}
    }
    let mut files = BTreeMap::new();
    let mut pickled = None;
    for file in all {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_known(name) && name != ADAPTER_WEIGHTS {
            files.insert(name.to_owned(), disk::read(&file)?);
        } else if name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth") {
            pickled = Some(file);
        }
    }
    let missing = |file| ModelFolderError::MissingFile { path: path.to_owned(), file };
    if !files.contains_key("config.json") {
        return Err(missing("config.json"));
    }
    match (files.keys().any(|name| name.ends_with(".safetensors")), pickled) {
        (true, _) => Ok(files),
        (false, Some(path)) => Err(ModelFolderError::Pickled { path }),
        (false, None) => Err(missing("model.safetensors")),
    }
}

/// The file itself, and what stands beside it but the description of other weights.
fn read_gguf(file: &Path, folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let name = name_of(file);
    if name.contains(PART_OF) {
        return Err(ModelFolderError::SplitGguf { path: file.to_owned() });
    }
    let mut files = BTreeMap::from([(name.to_owned(), disk::read(file)?)]);
    for beside in entries(folder)? {
        let name = name_of(&beside);
        if FILES.contains(&name) && name != "config.json" {
            files.insert(name.to_owned(), disk::read(&beside)?);
        }
    }
    Ok(files)
}

fn name_of(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Whether a folder holds an adapter alone, as PEFT writes it, and no whole model.
pub fn is_adapter_folder(path: &Path) -> bool {
    path.join(ADAPTER_CONFIG).is_file() && !path.join("config.json").is_file()
}

/// Returns the two files of an adapter in PEFT's folder by their names.
///
/// # Errors
/// When it is no folder, or one of the two is not there.
pub fn read_adapter_folder(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    entries(path)?;
    let read = |file: &'static str| match disk::read(&path.join(file)) {
        Ok(bytes) => Ok((file.to_owned(), bytes)),
        Err(DiskError::Missing { .. }) => Err(ModelFolderError::MissingFile { path: path.to_owned(), file }),
        Err(error) => Err(error.into()),
    };
    [ADAPTER_CONFIG, ADAPTER_WEIGHTS].into_iter().map(read).collect()
}

/// Returns the known files of a folder that are no weights: what a tokenizer and a chat template are read from.
///
/// # Errors
/// When it is no folder or has no `tokenizer.json`.
pub fn read_tokenizer_folder(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for file in entries(path)? {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if FILES.contains(&name) {
            files.insert(name.to_owned(), disk::read(&file)?);
        }
    }
    if !files.contains_key("tokenizer.json") {
        return Err(ModelFolderError::MissingFile { path: path.to_owned(), file: "tokenizer.json" });
    }
    Ok(files)
}

fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.exists() {
        return Err(DiskError::Missing { path: path.to_owned() }.into());
    }
    if !path.is_dir() {
        return Err(ModelFolderError::NotAFolder { path: path.to_owned() });
    }
    Ok(disk::entries(path)?)
}

/// Writes the files of a model to a folder, `config.json` last, so that a folder with it is whole.
///
/// # Errors
/// When a name is none of a model folder's, or the disk refuses.
pub fn write_model_folder(path: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    if let Some(name) = files.keys().find(|name| !is_known(name)) {
        let expected = FILES.iter().chain(SUFFIXES).copied().collect::<Vec<_>>().join(", ");
        return Err(ModelFolderError::UnknownFile { name: name.clone(), expected });
    }
    let (last, first): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| *name == "config.json");
    for (name, bytes) in first.into_iter().chain(last) {
        disk::write_atomic(&path.join(name), bytes)?;
    }
    Ok(())
}

fn is_known(name: &str) -> bool {
    !name.contains(['/', '\\']) && (FILES.contains(&name) || SUFFIXES.iter().any(|suffix| name.ends_with(suffix)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn known_files_come_back_and_strangers_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let names =
            ["config.json", "tokenizer.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"];
        let files: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec())).collect();
        write_model_folder(&path, &files).unwrap();
        fs::write(path.join("training_args.bin"), "pickle").unwrap();
        assert_eq!(read_model_folder(&path).unwrap(), files);
        let stranger = [("../x.safetensors".to_owned(), vec![])].into();
        assert!(matches!(write_model_folder(&path, &stranger), Err(ModelFolderError::UnknownFile { .. })));
    }

    #[test]
    fn a_tokenizer_needs_no_weights() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        write("model.safetensors");
        write("tokenizer_config.json");
        let missing = read_tokenizer_folder(folder.path()).unwrap_err();
        assert!(matches!(missing, ModelFolderError::MissingFile { file: "tokenizer.json", .. }), "{missing}");
        write("tokenizer.json");
        let read = read_tokenizer_folder(folder.path()).unwrap();
        assert_eq!(read.keys().collect::<Vec<_>>(), ["tokenizer.json", "tokenizer_config.json"]);
    }

    #[test]
    fn a_gguf_file_is_read_with_what_stands_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        ["config.json", "tokenizer.json", "a-Q8_0.gguf", "notes.txt"].into_iter().for_each(write);
        let expected = ["a-Q8_0.gguf", "tokenizer.json"];
        let names = |path: &Path| read_model_folder(path).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(names(folder.path()), expected, "the folder of one file");
        write("b.gguf");
        assert_eq!(names(&folder.path().join("a-Q8_0.gguf")), expected);
        let many = read_model_folder(folder.path()).unwrap_err();
        assert!(many.to_string().contains("several GGUF files: `a-Q8_0.gguf`, `b.gguf`; name one"), "{many}");
        write("c-00001-of-00002.gguf");
        let part = read_model_folder(&folder.path().join("c-00001-of-00002.gguf")).unwrap_err();
        assert!(matches!(part, ModelFolderError::SplitGguf { .. }) && part.fault() == Fault::You, "{part}");
        // Safetensors go before.
        write("model.safetensors");
        assert_eq!(names(folder.path()), ["config.json", "model.safetensors", "tokenizer.json"]);
    }

    #[test]
    fn an_adapter_is_told_from_a_whole_model() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        assert!(!is_adapter_folder(folder.path()));
        write("adapter_config.json");
        assert!(is_adapter_folder(folder.path()));
        let missing = read_adapter_folder(folder.path()).unwrap_err();
        assert!(matches!(missing, ModelFolderError::MissingFile { file: ADAPTER_WEIGHTS, .. }), "{missing}");
        write("adapter_model.safetensors");
        write("tokenizer.json");
        let read = read_adapter_folder(folder.path()).unwrap();
        assert_eq!(read.keys().collect::<Vec<_>>(), [ADAPTER_CONFIG, ADAPTER_WEIGHTS]);
        // A merged model beside its adapter is the model.
        write("config.json");
        write("model.safetensors");
        assert!(!is_adapter_folder(folder.path()));
        assert!(!read_model_folder(folder.path()).unwrap().contains_key(ADAPTER_WEIGHTS));
    }

    #[test]
    fn what_is_no_model_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| read_model_folder(&folder.path().join(name)).unwrap_err();
        assert!(matches!(read("none"), ModelFolderError::Disk(DiskError::Missing { .. })));
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(read("file"), ModelFolderError::NotAFolder { .. }));
        assert!(matches!(read(""), ModelFolderError::MissingFile { file: "config.json", .. }));
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        assert!(matches!(read(""), ModelFolderError::MissingFile { file: "model.safetensors", .. }));
        fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
        let error = read("");
        assert!(matches!(error, ModelFolderError::Pickled { .. }) && error.fault() == Fault::You, "{error}");
    }
}
