//! Models as they lie about: whole folders, adapters with what they were trained on, artifacts that hold either.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cambist_core::digest::Digest;
use cambist_io::{
    formats::{self, ModelFolderError},
    store::{Artifact, Input, StoreView},
};
use cambist_model::{Dtype, LocalModel, MergeReport, ModelFiles};
use serde_json::Value;

use crate::{
    error::{ModelFault, PipelineError},
    verbs::{DROPPED, EVENTS, LOG},
};

/// The file that tells an adapter's artifact from a whole model's.
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// The parameter of a `train` step that names a folder to start from.
const BASE_FOLDER: &str = "/train/base_folder";

/// Adapters may lie on adapters; beyond this a folder must be naming itself.
const DEEPEST: usize = 32;

/// A whole model, and the adapters that lie on it.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    base: ModelFiles,
    /// From the bottom up; each was trained on everything below it, merged.
    adapters: Vec<ModelFiles>,
}

/// Where the folder that an adapter names as its base is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bases<'a> {
    /// Where the recipe's relative paths start.
    pub recipe: &'a Path,
    /// The base of the lowest adapter, whatever it names.
    pub given: Option<&'a Path>,
}

impl<'a> Bases<'a> {
    /// Bases of adapters that a recipe names.
    pub(crate) fn of_recipe(recipe: &'a Path) -> Self {
        Self { recipe, given: None }
    }
}

impl Checkpoint {
    /// Reads a Hugging Face model folder, or PEFT's folder of an adapter and the base that it names: an absolute path, or
    /// one that starts where the recipe's paths do or beside the adapter.
    ///
    /// # Errors
    /// When a file is missing or pickled, or the base is not found.
    pub(crate) fn of_folder(path: &Path, bases: Bases<'_>) -> Result<Self, PipelineError> {
        let (mut above, mut path) = (vec![], path.to_owned());
        while formats::is_adapter_folder(&path) {
            if above.len() == DEEPEST {
                let what = "an adapter on an adapter on an adapter, and so on";
                let remedy = "let `base_model_name_or_path` of one of them name a whole model";
                return Err(PipelineError::input(&path.display().to_string(), what, remedy));
            }
            let adapter = ModelFiles(formats::read_adapter_folder(&path)?);
            path = base_of(&path, &adapter, bases)?;
            above.push(adapter);
        }
        let base = ModelFiles(formats::read_model_folder(&path)?);
        above.reverse();
        Ok(Self { base, adapters: above })
    }

    /// Reads the model of a `train` artifact; an adapter's base is the artifact or the folder that it was trained on.
    ///
    /// # Errors
    /// When the base is gone, or is no longer the folder that the adapter was trained on.
    pub(crate) fn of_artifact(store: &StoreView, artifact: &Artifact, bases: Bases<'_>) -> Result<Self, PipelineError> {
        let files = read_files(artifact)?;
        if !files.0.contains_key(ADAPTER_CONFIG) {
            return Ok(Self { base: files, adapters: vec![] });
        }
        let manifest = artifact.manifest();
        let mut below = match manifest.inputs.iter().find(|input| is_base(input)) {
            Some(input) => {
                let what = || format!("the base of this adapter, `{}`, is not in the store", input.id);
                let gone =
                    || PipelineError::input(&manifest.id.to_string(), what(), "run the recipe that trained it again");
                Self::of_artifact(store, &store.find(&input.id)?.ok_or_else(gone)?, bases)?
            }
            None => Self::base_folder(artifact, bases)?,
        };
        below.adapters.push(files);
        Ok(below)
    }

    /// The folder that an adapter was trained on, as it was then.
    fn base_folder(artifact: &Artifact, bases: Bases<'_>) -> Result<Self, PipelineError> {
        let manifest = artifact.manifest();
        let named = manifest.params.pointer(BASE_FOLDER).and_then(Value::as_str);
        let Some(named) = named else {
            return Err(PipelineError::Internal(format!("`{}` is an adapter without a base", manifest.id)));
        };
        let path = bases.given.map_or_else(|| bases.recipe.join(named), Path::to_owned);
        let missing = |error| match error {
            PipelineError::ModelFolder(ModelFolderError::Disk(_)) => PipelineError::input(
                &manifest.id.to_string(),
                format!("the base of this adapter is not at `{}`", path.display()),
                "give its folder with `--base`, or run in the folder of the recipe that trained the adapter",
            ),
            error => error,
        };
        let below = Self::of_folder(&path, Bases { given: None, ..bases }).map_err(missing)?;
        let digest = below.digest().to_string();
        if manifest.params.get("folder_sha256").and_then(Value::as_str) == Some(digest.as_str()) {
            return Ok(below);
        }
        let what = format!("`{}` is not the model that this adapter was trained on", path.display());
        Err(PipelineError::input(&manifest.id.to_string(), what, "give the unchanged base, or train the adapter again"))
    }

    /// The whole model at the bottom.
    pub(crate) fn base(&self) -> &ModelFiles {
        &self.base
    }

    /// How many adapters lie on the whole model.
    pub(crate) fn n_adapters(&self) -> usize {
        self.adapters.len()
    }

    /// Names the model by the bytes of its files; a whole folder's name does not depend on adapters.
    pub(crate) fn digest(&self) -> Digest {
        let of = |files: &BTreeMap<String, Vec<u8>>| {
            Digest::of_parts(files.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes]))
        };
        self.adapters.iter().fold(of(&self.base.0), |below, adapter| {
            Digest::of_parts([below.as_str().as_bytes(), of(&adapter.0).as_str().as_bytes()])
        })
    }

    /// Opens the model with every adapter merged in f32; says what each of them changed, from the bottom up.
    ///
    /// # Errors
    /// When a file is broken, an adapter is of another base, or one changes no weight.
    pub(crate) fn open(&self) -> Result<(LocalModel, Vec<MergeReport>), ModelFault> {
        let mut model = LocalModel::from_files(&self.base)?;
        let mut reports = vec![];
        for adapter in &self.adapters {
            model.read_adapter(adapter)?;
            reports.push(model.merge_adapter()?);
        }
        Ok((model, reports))
    }
}

impl Checkpoint {
    /// Opens the same for inference: with weights in `dtype`, or in the narrowest type that holds them exactly.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], and when a number lies beyond what `dtype` can hold.
    pub(crate) fn open_for_inference(&self, dtype: Option<Dtype>) -> Result<LocalModel, ModelFault> {
        match self.adapters[..] {
            [] => Ok(LocalModel::for_inference(&self.base, dtype)?),
            _ => Ok(self.open()?.0.into_inference(dtype)?),
        }
    }
}

/// Names a model of this process in the ledger: by its files, and by the numbers that its weights were rounded to.
pub(crate) fn local_identity(digest: &str, dtype: Option<Dtype>) -> String {
    let rounded = dtype.map(|dtype| format!(" {}", dtype.name())).unwrap_or_default();
    format!("local:{digest}{rounded}")
}

/// An artifact's files, without logs.
fn read_files(artifact: &Artifact) -> Result<ModelFiles, PipelineError> {
    let names = artifact.manifest().files.keys().filter(|name| ![LOG, EVENTS, DROPPED].contains(&name.as_str()));
    let read = names.map(|name| Ok((name.clone(), artifact.read(name)?)));
    Ok(ModelFiles(read.collect::<Result<BTreeMap<_, _>, PipelineError>>()?))
}

fn is_base(input: &Input) -> bool {
    input.name == "base" || input.name.starts_with("base ")
}

/// Where the base of an adapter in a folder lies.
fn base_of(path: &Path, adapter: &ModelFiles, bases: Bases<'_>) -> Result<PathBuf, PipelineError> {
    let json: Option<Value> = adapter.0.get(ADAPTER_CONFIG).and_then(|bytes| serde_json::from_slice(bytes).ok());
    let name = json.as_ref().and_then(|json| json.get("base_model_name_or_path")).and_then(Value::as_str);
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let what = "`adapter_config.json` names no base";
        return Err(PipelineError::input(
            &path.display().to_string(),
            what,
            "write it under `base_model_name_or_path`",
        ));
    };
    let is_model = |folder: &PathBuf| folder.join("config.json").is_file() || formats::is_adapter_folder(folder);
    let beside = path.parent().unwrap_or(path);
    let places = [bases.recipe.join(name), beside.join(name), path.join(name)];
    let given = bases.given.map(Path::to_owned);
    let found = given.or_else(|| places.into_iter().find(is_model));
    found.ok_or_else(|| {
        let what = format!("its base `{name}` is no model folder here");
        let remedy = "let `base_model_name_or_path` in `adapter_config.json` name the folder, or merge the adapter \
                      first: `cambist merge-adapter ADAPTER --base FOLDER -o MERGED`";
        PipelineError::input(&path.display().to_string(), what, remedy)
    })
}
