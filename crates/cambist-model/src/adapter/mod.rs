//! Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685): a few numbers that are trained in place of a model.
//!
//! A weight `W` becomes `W + s B A` with `A` `[rank, in]` and `B` `[out, rank]`. The base is frozen: it takes no gradient
//! and no optimiser state, and is never written to. Where the decoder joins several matrices into one (query, key and
//! value), their `A`s lie below one another and so do their `B`s, each of which changes its own outputs. A reward head is
//! no change of anything: the adapter brings it whole.

pub(crate) mod merge;
mod peft;

use std::collections::BTreeSet;

use cambist_core::chance::Chance;
use candle_core::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    decoder::{Decoder, Products},
    fault::TensorFault,
    model::{LocalModel, ModelError},
    model_files::FileError,
    ops::low_rank::{Block, LowRank, Rows, add_low_rank},
    tape::{Tape, Value},
    weights::{Numbers, Parameter, WeightsError},
};

/// How an adapter is made; what is left out takes its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// The rank: columns of `B` and rows of `A`, default 16.
    pub r: usize,
    /// Strength: the change is multiplied by `alpha / r`; default 32.
    pub alpha: f64,
    /// Multiplies by `alpha / sqrt(r)` instead (rsLoRA, Kalajdzievski 2023, arXiv 2312.03732); default false.
    pub rslora: bool,
    /// Which matrices of every layer are adapted, such as `q_proj` and `v_proj`; all projections when empty, the default.
    pub targets: Vec<String>,
}

/// The matrices that some family has, by the names that [`LoraConfig::targets`] takes.
pub const PROJECTIONS: [&str; 9] =
    ["q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj"];

impl Default for LoraConfig {
    fn default() -> Self {
        Self { r: 16, alpha: 32.0, rslora: false, targets: Vec::new() }
    }
}

impl LoraConfig {
    /// Returns what `B A` is multiplied by.
    pub fn scale(&self) -> f64 {
        let rank = self.r as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }

    fn wants(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|wanted| wanted == target)
    }
}

/// An adapter cannot be made, read, merged or taken away.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A rank of nothing.
    #[error("`r` is 0; give at least 1")]
    NoRank,
    /// A strength that is no strength.
    #[error("`alpha` is {0}; give a number above 0")]
    Alpha(f64),
    /// A matrix that the model does not have.
    #[error("`targets` names `{target}`, but the model has {}", quoted(.known))]
    Target {
        /// What was asked for.
        target: String,
        /// What could be.
        known: Vec<String>,
    },
    /// One adapter at a time.
    #[error("the model has an adapter already; merge it into its base first")]
    Present,
    /// Nothing to merge or write.
    #[error("the model has no adapter")]
    None,
    /// A merged model that is its base.
    #[error("merging the adapter changes no weight: it was never trained, or its changes are lost to rounding")]
    Unchanged,
    /// The model without its adapter is not what training starts from.
    #[error(
        "the model without its adapter is not where training starts: the adapter was trained before; merge it into \
         its base first"
    )]
    NotTheStart,
    /// A file is missing or is no JSON.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting of `adapter_config.json` that would change the numbers.
    #[error("`adapter_config.json` has `{key}` = `{value}`, which is not implemented; expected {expected}")]
    Unsupported {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
        /// What is implemented.
        expected: &'static str,
    },
    /// The bytes are no safetensors, or hold a type that cannot become f32.
    #[error("`adapter_model.safetensors` cannot be read as safetensors: {0}")]
    Format(TensorFault),
    /// A tensor that the config and the base call for.
    #[error("the adapter has no tensor `{name}`, expected with shape {expected:?}")]
    Absent {
        /// The tensor.
        name: String,
        /// Its shape according to the config and the base.
        expected: Vec<usize>,
    },
    /// A tensor of another shape.
    #[error("the adapter's `{name}` has shape {found:?}, but its rank and this base call for {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Its shape according to the config and the base.
        expected: Vec<usize>,
    },
    /// A tensor that changes something which this base does not have.
    #[error("the adapter holds `{0}`, which this base has no place for")]
    Unexpected(String),
    /// A number that is none.
    #[error("the adapter's `{0}` holds numbers that are not finite")]
    NotFinite(String),
    /// The numbers cannot be written.
    #[error(transparent)]
    Weights(Box<WeightsError>),
    /// The model cannot be put together without its adapter, or with the head that the adapter brings.
    #[error(transparent)]
    Model(Box<ModelError>),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] TensorFault),
}

impl From<candle_core::Error> for AdapterError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(TensorFault(error))
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// An adapter and where it acts.
#[derive(Debug)]
pub(crate) struct Adapter {
    config: LoraConfig,
    /// `A` and `B` in turn for every parameter of the decoder that is adapted, then a reward head.
    pub(crate) parameters: Vec<Parameter>,
    /// For every parameter of the decoder, how it is changed.
    sites: Vec<Option<Site>>,
    /// Whether it was drawn here: the model without it is where training starts.
    is_drawn: bool,
}

/// How one parameter of the decoder is changed.
#[derive(Debug)]
enum Site {
    LowRank {
        /// Where its `A` lies among the parameters; its `B` comes next.
        a: usize,
        change: LowRank,
    },
    /// The one at this place among the parameters stands for it.
    Whole(usize),
}

/// A pair of matrices before they have numbers.
struct Plan {
    /// The decoder's parameter.
    parameter: usize,
    blocks: Vec<Block>,
    /// Names of the adapted matrices, without `.weight`.
    names: Vec<String>,
    n_inputs: usize,
}

impl Adapter {
    /// Puts a pair at every target, and `head` beside them; `tensor` gives the numbers of `A` or `B` of a matrix, or of the
    /// head, given name and shape.
    fn build(
        (decoder, head, is_drawn): (&[Parameter], Option<usize>, bool),
        config: LoraConfig,
        mut tensor: impl FnMut(&str, [usize; 2]) -> std::result::Result<Tensor, AdapterError>,
    ) -> std::result::Result<Self, AdapterError> {
        check(decoder, &config)?;
        let (mut parameters, scale) = (vec![], config.scale() as f32);
        let mut sites: Vec<Option<Site>> = decoder.iter().map(|_| None).collect();
        for plan in plans(decoder, &config) {
            let change = LowRank { blocks: plan.blocks.as_slice().into(), rank: config.r, scale };
            sites[plan.parameter] = Some(Site::LowRank { a: parameters.len(), change });
            for side in ["A", "B"] {
                let (mut parts, mut tensors) = (vec![], vec![]);
                for (name, block) in plan.names.iter().zip(&plan.blocks) {
                    let name = peft::tensor_name(name, side);
                    let shape = if side == "A" { [config.r, plan.n_inputs] } else { [block.n_outputs, config.r] };
                    tensors.push(tensor(&name, shape)?);
                    parts.push((name, shape[0]));
                }
                parameters.push(Parameter { parts, numbers: Numbers::Plain(Tensor::cat(&tensors, 0)?.contiguous()?) });
            }
        }
        if let Some(head) = head {
            let (name, dims) = (peft::whole_name(&decoder[head]), decoder[head].dims());
            let [rows, columns] = [0, 1].map(|axis| dims.get(axis).copied().unwrap_or(1));
            let numbers = Numbers::Plain(tensor(&name, [rows, columns])?);
            sites[head] = Some(Site::Whole(parameters.len()));
            parameters.push(Parameter { parts: vec![(name, rows)], numbers });
        }
        Ok(Self { config, parameters, sites, is_drawn })
    }

    /// Returns how many numbers `x A^T` has for each token, over all matrices.
    pub(crate) fn width(&self) -> usize {
        let n_blocks = |site: &Site| if let Site::LowRank { change, .. } = site { change.blocks.len() } else { 0 };
        self.sites.iter().flatten().map(|site| n_blocks(site) * self.config.r).sum()
    }

    /// Returns what stands for parameter `i` of the decoder, with its place among the adapter's.
    pub(crate) fn whole(&self, i: usize) -> Option<(usize, &Parameter)> {
        match self.sites.get(i)? {
            Some(Site::Whole(at)) => Some((*at, self.parameters.get(*at)?)),
            _ => None,
        }
    }

    /// Adds what the adapter changes of the product `y` of `x` with parameter `i`, in the storage of `y`.
    pub(crate) fn add(&self, tape: &Tape, (x, y): (&Value, Value), (i, products): (usize, Products)) -> Result<Value> {
        let Some(Some(Site::LowRank { a, change })) = self.sites.get(i) else { return Ok(y) };
        let own = |i: usize| self.parameters[i].plain().map(|tensor| tape.parameter(i, tensor));
        let rows = if products == Products::ByRow { Rows::Alone } else { Rows::Together };
        add_low_rank(tape, (x, y), (&own(*a)?, &own(a + 1)?), (change, rows))
    }
}

fn check(decoder: &[Parameter], config: &LoraConfig) -> std::result::Result<(), AdapterError> {
    let known: BTreeSet<&str> = decoder.iter().flat_map(projections).map(|(_, _, target)| target).collect();
    let unknown = config.targets.iter().find(|target| !known.contains(target.as_str()));
    match unknown {
        _ if config.r == 0 => Err(AdapterError::NoRank),
        _ if !(config.alpha > 0.0 && config.alpha.is_finite()) => Err(AdapterError::Alpha(config.alpha)),
        Some(target) => {
            let known = known.into_iter().map(str::to_owned).collect();
            Err(AdapterError::Target { target: target.clone(), known })
        }
        None => Ok(()),
    }
}

fn plans<'a>(decoder: &'a [Parameter], config: &'a LoraConfig) -> impl Iterator<Item = Plan> + 'a {
    decoder.iter().enumerate().filter_map(|(parameter, joint)| {
        let (mut blocks, mut names) = (vec![], vec![]);
        for (block, name, target) in projections(joint) {
            if config.wants(target) {
                blocks.push(block);
                names.push(name.to_owned());
            }
        }
        let n_inputs = joint.dims().get(1).copied()?;
        (!blocks.is_empty()).then_some(Plan { parameter, blocks, names, n_inputs })
    })
}

/// Returns the matrices of a joint parameter that an adapter may change: their outputs, their name without `.weight`, and
/// the last part of that name.
fn projections(joint: &Parameter) -> impl Iterator<Item = (Block, &str, &str)> {
    let mut next = 0;
    joint.parts.iter().filter_map(move |(name, rows)| {
        let block = Block { first_output: next, n_outputs: *rows };
        next += rows;
        let name = name.strip_suffix(".weight")?;
        let target = name.rsplit('.').next()?;
        (name.contains(".layers.") && target.ends_with("_proj")).then_some((block, name, target))
    })
}

/// Draws `A` of a matrix, or its `B`, which begins at 0.
fn draw(name: &str, [rows, columns]: [usize; 2], seed: u64) -> std::result::Result<Tensor, AdapterError> {
    if name.ends_with(".lora_B.weight") {
        return Ok(Tensor::zeros((rows, columns), candle_core::DType::F32, &Device::Cpu)?);
    }
    let (mut chance, bound) = (Chance::new(seed, &["adapter", name]), (columns as f64).sqrt().recip());
    let numbers = (0..rows * columns).map(|_| ((2.0 * chance.unit() - 1.0) * bound) as f32).collect();
    Ok(Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)?)
}

impl LocalModel {
    /// Puts a new adapter on the model, which is frozen from then on: [`train`](crate::train()) trains the adapter alone.
    ///
    /// `A` is uniform within 1 / sqrt(in) (Kaiming's initialisation as PEFT uses it), each matrix from a stream named after
    /// it; `B` is 0, so the model's numbers stay what they are to the last bit. A reward head becomes part of the adapter,
    /// as it is, and is trained whole.
    ///
    /// # Errors
    /// When the model has an adapter, or the config names a matrix that it does not have.
    pub fn add_adapter(&mut self, config: &LoraConfig, seed: u64) -> std::result::Result<(), AdapterError> {
        if self.decoder.adapter.is_some() {
            return Err(AdapterError::Present);
        }
        let (parameters, head) = (&self.decoder.parameters, self.decoder.reward_head());
        let begin = |name: &str, shape: [usize; 2]| match head.map(|head| &parameters[head]) {
            // Training is in place, and the head of the base stays what it is.
            Some(own) if peft::whole_name(own) == name => Ok(own.tensor()?.copy()?),
            _ => draw(name, shape, seed),
        };
        self.decoder.adapter = Some(Adapter::build((parameters, head, true), config.clone(), begin)?);
        Ok(())
    }

    /// Returns how the adapter was made, its targets listed, where there is one.
    pub fn lora(&self) -> Option<LoraConfig> {
        let adapter = self.decoder.adapter.as_ref()?;
        let used = self.decoder.parameters.iter().flat_map(projections).map(|(_, _, target)| target);
        let targets: BTreeSet<&str> = used.filter(|target| adapter.config.wants(target)).collect();
        Some(LoraConfig { targets: targets.into_iter().map(str::to_owned).collect(), ..adapter.config.clone() })
    }

    /// Whether an adapter is trained in place of the model.
    pub fn has_adapter(&self) -> bool {
        self.decoder.adapter.is_some()
    }

    /// Returns how many numbers training changes: the adapter's, or else all.
    pub fn n_trained(&self) -> usize {
        self.decoder.trained().iter().map(Parameter::n_numbers).sum()
    }

    /// Returns the model that the training of a fresh adapter starts from, the model without it: the reference of
    /// preference objectives. It shares the frozen weights and takes no further memory.
    ///
    /// # Errors
    /// When the model has no adapter, or one that was read from a file: training then starts from the model *with* it,
    /// and the model without it would be the wrong reference.
    pub fn start_model(&self) -> std::result::Result<Self, AdapterError> {
        match &self.decoder.adapter {
            None => Err(AdapterError::None),
            Some(adapter) if !adapter.is_drawn => Err(AdapterError::NotTheStart),
            Some(_) => {
                let decoder = Decoder::new(self.decoder.config.clone(), self.decoder.parameters.clone());
                Self::assembled(decoder, self.files.clone()).map_err(|error| AdapterError::Model(Box::new(error)))
            }
        }
    }
}
