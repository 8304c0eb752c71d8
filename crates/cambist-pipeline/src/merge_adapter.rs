//! An adapter becomes part of its base, as a whole model folder for programs that read no adapters.

use std::path::{Path, PathBuf};

use cambist_io::{disk, formats, store::StoreView};
use cambist_model::{Dtype, LocalModel, MergeReport, ModelFiles};
use serde::Serialize;

use crate::{
    checkpoint::{Bases, Checkpoint},
    error::{ModelFault, PipelineError},
    inspect,
};

/// Which adapter to merge into what, and where to.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// PEFT's folder of an adapter, or the name of a `train` artifact as [`inspect::find`] takes it.
    pub adapter: String,
    /// The base's folder, where it is another one than the adapter names.
    pub base: Option<PathBuf>,
    /// In which numbers to write it; merging itself is in f32.
    pub dtype: Dtype,
    /// The folder to write, which must not hold anything yet.
    pub to: PathBuf,
}

/// What was merged.
#[derive(Clone, Debug, Serialize)]
pub struct Merged {
    /// Where the whole model lies.
    pub folder: PathBuf,
    /// Its weights.
    pub n_parameters: usize,
    /// What each adapter changed, from the base up.
    pub adapters: Vec<MergeReport>,
}

/// Merges an adapter, and those that lie below it, into the base in f32 and writes a Hugging Face model folder.
///
/// # Errors
/// When there is no adapter, its base is not found, the merged weights would equal the base to the last bit, or the
/// folder to write holds something.
pub fn merge_adapter(options: &MergeOptions, store: &Path) -> Result<Merged, PipelineError> {
    let fault = |what: String, remedy: &str| Err(PipelineError::input(&options.adapter, what, remedy));
    if options.to.exists() && !disk::entries(&options.to)?.is_empty() {
        return fault(format!("`{}` is not empty", options.to.display()), "write to a new folder");
    }
    let bases = Bases { recipe: Path::new("."), given: options.base.as_deref() };
    let folder = Path::new(&options.adapter);
    let checkpoint = match folder.is_dir() {
        true => Checkpoint::of_folder(folder, bases)?,
        false => {
            let store = StoreView::open(store)?;
            Checkpoint::of_artifact(&store, &inspect::find(&store, &options.adapter)?, bases)?
        }
    };
    if checkpoint.n_adapters() == 0 {
        return fault("it is a whole model and no adapter".into(), "use it as it is");
    }
    let failed = |error| PipelineError::model(&options.adapter, error);
    let (model, adapters) = checkpoint.open().map_err(failed)?;
    let files = model.to_files_in(options.dtype).map_err(|error| failed(error.into()))?;
    if !options.dtype.is_f32() && is_base(&checkpoint, &files, options.dtype).map_err(failed)? {
        return fault(
            "every change of the adapter is lost to rounding: what would be written is its base".into(),
            "write it in f32",
        );
    }
    formats::write_model_folder(&options.to, &files.0)?;
    Ok(Merged { folder: options.to.clone(), n_parameters: model.n_parameters(), adapters })
}

/// Whether the merged model in `dtype` is the base in `dtype`.
fn is_base(checkpoint: &Checkpoint, merged: &ModelFiles, dtype: Dtype) -> Result<bool, ModelFault> {
    let base = LocalModel::from_files(checkpoint.base())?;
    Ok(base.to_files_in(dtype)? == *merged)
}
