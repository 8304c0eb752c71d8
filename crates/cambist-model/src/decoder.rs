//! The decoder: one description of its forward pass, for all families, for training, scoring and generation.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use crate::{
    adapter::Adapter,
    config::{DecoderConfig, LayerConfig},
    head::Head,
    layout::{LayerLayout, Layout, Projection, plan},
    log_prob::{LogProbs, ROWS_OF_LOGITS, each_row},
    ops::{
        attention::{CausalAttention, Heads, LayerAttention, Starts, causal_attention},
        by_row::{linear_by_row, plain_linear_by_row},
        gated::gated,
        head_norm::{HeadNorm, head_norm},
        linear::linear,
        logits::finish_logits,
        norm::norm,
        rows::{rows_of, scaled_rows_of},
        token_log_probs::token_log_probs,
    },
    rope::Rope,
    tape::{Tape, Value},
    weights::{Numbers, Parameter, Purpose, WeightsError, fitted},
};

/// Weights and their arrangement.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) config: DecoderConfig,
    /// In the order of [`crate::layout`].
    pub(crate) parameters: Vec<Parameter>,
    layout: Layout,
    ropes: Vec<Rope>,
    /// What is trained instead of the parameters, where there is one.
    pub(crate) adapter: Option<Adapter>,
}

/// How products with plain weights are computed; those with weights in panels are by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Products {
    /// Fast for many rows; differentiable.
    Blocked,
    /// Every row as if it were alone.
    ByRow,
}

/// How tokens see one another: over the batch itself, or over what a cache holds.
pub(crate) trait Attend {
    /// Returns the attention's result, `[rows, n_heads * head_dim]`, for a joint projection in layer `layer`.
    fn attend(&mut self, tape: &Tape, layer: usize, qkv: &Value) -> Result<Value>;
}

/// How the tokens of each layer see one another, in the order of the layers.
pub(crate) type Attentions = Arc<[LayerAttention]>;

/// Whole sequences behind one another, each from position 0.
pub(crate) struct Causal {
    heads: Heads,
    starts: Starts,
    layers: Attentions,
}

impl Attend for Causal {
    fn attend(&mut self, tape: &Tape, layer: usize, qkv: &Value) -> Result<Value> {
        let (starts, layer) = (Arc::clone(&self.starts), self.layers[layer].clone());
        causal_attention(tape, qkv, CausalAttention { heads: self.heads, starts, layer })
    }
}

impl Decoder {
    pub(crate) fn new(config: DecoderConfig, parameters: Vec<Parameter>) -> Self {
        let (ropes, layout) = (config.ropes.iter().map(Rope::new).collect(), plan(&config).1);
        Self { config, parameters, layout, ropes, adapter: None }
    }

    /// Returns the attention over sequences that start at the rows `starts` says.
    pub(crate) fn causal(&self, starts: Starts) -> Causal {
        let longest = starts.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
        Causal { heads: self.config.heads(), starts, layers: self.attentions(longest) }
    }

    /// Returns how the tokens of each layer see one another, in sequences of up to `n_positions`.
    pub(crate) fn attentions(&self, n_positions: usize) -> Attentions {
        let tables: Vec<_> = self.ropes.iter().map(|rope| rope.tables(n_positions)).collect();
        let layer = |layer: &LayerConfig| LayerAttention {
            scale: self.config.attention_scale,
            cap: self.config.attention_cap,
            window: layer.window,
            rope: layer.rope.map(|rope| tables[rope].clone()),
        };
        self.config.layers.iter().map(layer).collect()
    }

    /// The length beyond which keys that were cached before no longer hold (LongRoPE), if there is one.
    pub(crate) fn cache_holds_until(&self) -> Option<usize> {
        self.ropes.iter().filter_map(Rope::changes_beyond).min()
    }

    /// Returns the normalised hidden state of the rows `kept` (all when none), `[kept, hidden_size]`.
    ///
    /// The last layer computes nothing for other rows than its keys and values.
    pub(crate) fn hidden(
        &self,
        tape: &Tape,
        tokens: &Arc<[u32]>,
        attention: &mut dyn Attend,
        (products, kept): (Products, Option<&Arc<[u32]>>),
    ) -> Result<Value> {
        let last = self.n_layers() - 1;
        let pass = Pass { decoder: self, tape, products };
        let x = self.inner(tape, tokens, attention, (products, last))?;
        pass.norm(&pass.layer((x, last), attention, kept)?, self.layout.norm)
    }

    /// Returns what goes into layer `layer`, `[tokens, hidden_size]`: the embeddings where it is 0.
    pub(crate) fn inner(
        &self,
        tape: &Tape,
        tokens: &Arc<[u32]>,
        attention: &mut dyn Attend,
        (products, layer): (Products, usize),
    ) -> Result<Value> {
        let pass = Pass { decoder: self, tape, products };
        let mut x = self.embed(tape, tokens)?;
        for below in 0..layer {
            x = pass.layer((x, below), attention, None)?;
        }
        Ok(x)
    }

    /// Returns what goes into the first layer, `[tokens, hidden_size]`.
    pub(crate) fn embed(&self, tape: &Tape, tokens: &Arc<[u32]>) -> Result<Value> {
        let scale = self.config.embedding_scale;
        match &self.parameters[self.layout.embedding].numbers {
            Numbers::Plain(_) => scaled_rows_of(tape, &self.weight(tape, self.layout.embedding)?, tokens, scale),
            Numbers::Panels(table) if scale == 1.0 => Ok(tape.constant(table.rows(tokens)?)),
            Numbers::Panels(table) => Ok(tape.constant((table.rows(tokens)? * f64::from(scale))?)),
        }
    }

    pub(crate) fn n_layers(&self) -> usize {
        self.layout.layers.len()
    }

    /// Returns what comes out of one layer; of the last one only the rows `kept`.
    pub(crate) fn layer(
        &self,
        tape: &Tape,
        input: (Value, usize),
        attention: &mut dyn Attend,
        kept: Option<&Arc<[u32]>>,
    ) -> Result<Value> {
        Pass { decoder: self, tape, products: Products::Blocked }.layer(input, attention, kept)
    }

    /// Returns the hidden state of what came out of the last layer.
    pub(crate) fn last_norm(&self, tape: &Tape, x: &Value) -> Result<Value> {
        Pass { decoder: self, tape, products: Products::Blocked }.norm(x, self.layout.norm)
    }

    /// Returns the log-probabilities of `targets`, one for each row of a hidden state, in nats.
    pub(crate) fn token_log_probs(&self, tape: &Tape, hidden: &Value, targets: &Arc<[u32]>) -> Result<Value> {
        let head = self.head()?;
        match &self.parameters[head].numbers {
            Numbers::Plain(_) => {
                token_log_probs(tape, hidden, &self.weight(tape, head)?, (targets, self.config.logits))
            }
            Numbers::Panels(_) => Ok(tape.constant(self.scored(hidden, targets)?)),
        }
    }

    /// Returns the same for a head in panels, some rows at a time.
    fn scored(&self, hidden: &Value, targets: &[u32]) -> Result<Tensor> {
        let (n_rows, mut scores) = (hidden.tensor.dim(0)?, vec![]);
        if n_rows != targets.len() {
            bail!("{} targets met {n_rows} rows", targets.len())
        }
        if let Some(beyond) = targets.iter().find(|target| **target as usize >= self.config.vocab_size) {
            bail!("target {beyond} is beyond a vocabulary of {}", self.config.vocab_size)
        }
        for (i, targets) in targets.chunks(ROWS_OF_LOGITS).enumerate() {
            let rows = hidden.narrow(i * ROWS_OF_LOGITS, targets.len())?;
            let logits = self.logits(&rows, Products::ByRow)?;
            scores.extend(each_row(&logits, targets, |row, target| LogProbs::new(row).of(*target) as f32)?);
        }
        Tensor::from_vec(scores, n_rows, hidden.tensor.device())
    }

    /// Returns the reward of each row of a hidden state, `[rows, 1]`.
    pub(crate) fn rewards(&self, tape: &Tape, hidden: &Value) -> Result<Value> {
        match self.reward_head() {
            Some(head) => self.plain_product(tape, hidden, (head, Products::Blocked)),
            None => bail!("this model has a language model's head and gives no rewards; give one with a reward head"),
        }
    }

    /// Returns the logits of the rows of a hidden state, `[rows, vocabulary]`, without a way back.
    pub(crate) fn logits(&self, hidden: &Value, products: Products) -> Result<Tensor> {
        let logits = self.plain_product(&Tape::idle(), hidden, (self.head()?, products))?.tensor;
        finish_logits(&logits, self.config.logits)?;
        Ok(logits)
    }

    /// Returns which parameter is the output layer, `[vocabulary, hidden_size]`: the embedding table where they are tied.
    fn head(&self) -> Result<usize> {
        if self.config.head == Head::Reward {
            bail!("this model has a reward head and predicts no tokens; give one with a language model's head")
        }
        Ok(self.layout.head.unwrap_or(self.layout.embedding))
    }

    /// Returns the product of rows with parameter `i`, changed by the adapter where there is one.
    fn product(&self, tape: &Tape, x: &Value, (i, products): (usize, Products)) -> Result<Value> {
        let y = self.plain_product(tape, x, (i, products))?;
        match &self.adapter {
            Some(adapter) => adapter.add(tape, (x, y), (i, products)),
            None => Ok(y),
        }
    }

    /// Returns the same without the adapter.
    fn plain_product(&self, tape: &Tape, x: &Value, (i, products): (usize, Products)) -> Result<Value> {
        match (&self.in_use(i).1.numbers, products) {
            (Numbers::Panels(panels), _) => linear_by_row(tape, x, panels),
            (Numbers::Plain(_), Products::ByRow) => plain_linear_by_row(tape, x, &self.weight(tape, i)?),
            (Numbers::Plain(_), Products::Blocked) => linear(tape, x, &self.weight(tape, i)?),
        }
    }

    /// Returns parameter `i`; a constant where an adapter is trained in its place.
    fn weight(&self, tape: &Tape, i: usize) -> Result<Value> {
        let (place, parameter) = self.in_use(i);
        let tensor = parameter.tensor()?;
        Ok(match place {
            Some(place) => tape.parameter(place, &tensor),
            None => tape.constant(tensor),
        })
    }

    /// Returns parameter `i`, or what an adapter has in its stead, and its place among what is trained; none where it is
    /// frozen.
    fn in_use(&self, i: usize) -> (Option<usize>, &Parameter) {
        let Some(adapter) = &self.adapter else { return (Some(i), &self.parameters[i]) };
        adapter.whole(i).map_or((None, &self.parameters[i]), |(place, own)| (Some(place), own))
    }

    /// Returns which parameter is the reward head, where there is one.
    pub(crate) fn reward_head(&self) -> Option<usize> {
        self.layout.head.filter(|_| self.config.head == Head::Reward)
    }

    /// Turns parameters that were laid out for inference into what training changes.
    pub(crate) fn make_plain(&mut self) -> Result<()> {
        for parameter in &mut self.parameters {
            parameter.numbers = Numbers::Plain(parameter.tensor()?);
        }
        Ok(())
    }

    /// Keeps the parameters as a purpose has them.
    pub(crate) fn fit(&mut self, purpose: Purpose) -> std::result::Result<(), WeightsError> {
        self.parameters = fitted(&self.config, std::mem::take(&mut self.parameters), purpose)?;
        Ok(())
    }

    /// Returns how many numbers an adapter adds to each token's way through a layer.
    pub(crate) fn adapter_width(&self) -> usize {
        self.adapter.as_ref().map_or(0, Adapter::width).div_ceil(self.n_layers())
    }

    /// Whether queries and keys are normalised head by head.
    pub(crate) fn normalises_heads(&self) -> bool {
        self.layout.layers.iter().any(|layer| layer.head_norm.is_some())
    }

    /// Returns what is trained: the adapter where there is one, otherwise everything.
    pub(crate) fn trained(&self) -> &[Parameter] {
        self.adapter.as_ref().map_or(&self.parameters, |adapter| &adapter.parameters)
    }

    /// Returns the same to be changed.
    pub(crate) fn trained_mut(&mut self) -> &mut [Parameter] {
        self.adapter.as_mut().map_or(&mut self.parameters, |adapter| &mut adapter.parameters)
    }

    pub(crate) fn n_parameters(&self) -> usize {
        self.parameters.iter().map(Parameter::n_numbers).sum()
    }
}

/// One way through the decoder.
struct Pass<'a> {
    decoder: &'a Decoder,
    tape: &'a Tape,
    products: Products,
}

impl Pass<'_> {
    fn layer(
        &self,
        (mut x, layer): (Value, usize),
        attention: &mut dyn Attend,
        kept: Option<&Arc<[u32]>>,
    ) -> Result<Value> {
        let kept = kept.filter(|_| layer + 1 == self.decoder.n_layers());
        let places = &self.decoder.layout.layers[layer];
        let mut input = self.norm(&x, places.norm)?;
        let qkv = self.qkv(&input, places)?;
        let mut seen = attention.attend(self.tape, layer, &qkv)?;
        if let Some(kept) = kept {
            (x, seen) = (rows_of(self.tape, &x, kept)?, rows_of(self.tape, &seen, kept)?);
            if places.mlp_norm.is_none() {
                input = rows_of(self.tape, &input, kept)?;
            }
        }
        let attended = self.project(&seen, places.output)?;
        x = self.tape.add_to_fresh(&x, self.norm_if(attended, places.attention_norm)?)?;
        if let Some(norm) = places.mlp_norm {
            input = self.norm(&x, norm)?;
        }
        let gate_up = self.project(&input, places.gate_up)?;
        let down = self.project(&gated(self.tape, &gate_up, self.decoder.config.activation)?, places.down)?;
        self.tape.add_to_fresh(&x, self.norm_if(down, places.down_norm)?)
    }

    fn qkv(&self, input: &Value, places: &LayerLayout) -> Result<Value> {
        let qkv = self.project(input, places.qkv)?;
        let Some(gains) = places.head_norm else { return Ok(qkv) };
        let config = &self.decoder.config;
        let operation = HeadNorm { heads: config.heads(), norm: config.norm() };
        head_norm(self.tape, &qkv, &self.weight(gains)?, operation)
    }

    fn project(&self, x: &Value, places: Projection) -> Result<Value> {
        let y = self.decoder.product(self.tape, x, (places.weight, self.products))?;
        match places.bias {
            Some(bias) => self.tape.add_row_to_fresh(&self.weight(bias)?, y),
            None => Ok(y),
        }
    }

    fn norm(&self, x: &Value, gains: usize) -> Result<Value> {
        norm(self.tape, x, &self.weight(gains)?, self.decoder.config.norm())
    }

    fn norm_if(&self, x: Value, gains: Option<usize>) -> Result<Value> {
        gains.map_or(Ok(x.clone()), |gains| self.norm(&x, gains))
    }

    fn weight(&self, i: usize) -> Result<Value> {
        self.decoder.weight(self.tape, i)
    }
}
