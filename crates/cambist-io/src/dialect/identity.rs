//! What names an endpoint and a request in the ledger, and the sampling seeds that follow from them.
//!
//! The digest is SHA-256, as everywhere in the store, where the specification names another.

use std::net::IpAddr;

use cambist_core::digest::{Digest, put_part};
use reqwest::Url;
use serde_json::Value;

use super::probe::ServerFacts;
use crate::{
    canonical::canonical_json,
    endpoint::{Endpoint, EndpointIdentity},
};

/// Members that change no answer, or are named apart in a key.
pub(crate) const VOLATILE: [&str; 12] = [
    "stream",
    "stream_options",
    "user",
    "metadata",
    "service_tier",
    "priority",
    "cache_salt",
    "n",
    "seed",
    "request_id",
    "rid",
    "safety_identifier",
];

/// Returns what names an endpoint: two endpoints of one name share their paid answers.
///
/// The dialect and the model's name are always part of it. Beside them stand, for `host`, scheme, host, port and path
/// without `/v1`; for `model`, what `facts` say of the weights; or the explicit text. `facts` must be had the same way
/// in every run. Where `model` is asked for and nobody names the model, `host` holds, since servers would be confused.
pub fn endpoint_identity(endpoint: &Endpoint, dialect: &str, facts: &ServerFacts) -> String {
    let address = Address::read(&endpoint.base_url);
    let has_model = !endpoint.model.is_empty() || facts.root.is_some();
    let by_model = match &endpoint.identity {
        EndpointIdentity::Explicit(text) => return format!("{dialect}|explicit|{text}|{}", endpoint.model),
        EndpointIdentity::Host => false,
        EndpointIdentity::Model => has_model,
        EndpointIdentity::Auto => address.is_private && has_model,
    };
    if !by_model {
        return format!("{dialect}|host|{}|{}", address.text, endpoint.model);
    }
    let length = facts.max_model_len.map(|length| length.to_string());
    let known = [facts.root.clone(), facts.revision.clone(), length].map(Option::unwrap_or_default).join("|");
    format!("{dialect}|model|{}|{known}", endpoint.model)
}

/// Returns an address as people may read it: scheme, host, port and path without `/v1`; no user, password or query.
pub fn plain_address(base_url: &str) -> String {
    Address::read(base_url).text
}

/// Whether a server at `base_url` is on this machine or in a private network.
pub fn is_private(base_url: &str) -> bool {
    Address::read(base_url).is_private
}

struct Address {
    /// Scheme, host, port and path; no user, no password, no query.
    text: String,
    is_private: bool,
}

impl Address {
    fn read(base_url: &str) -> Self {
        let Some(url) = Url::parse(base_url).ok().filter(Url::has_host) else {
            let text = base_url.rsplit('@').next().unwrap_or_default();
            return Self { text: text.to_owned(), is_private: false };
        };
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path);
        Self { text: format!("{}://{host}{port}{path}", url.scheme()), is_private: is_private_host(host) }
    }
}

/// Names without a dot are those of a local network, or of containers side by side.
fn is_private_host(host: &str) -> bool {
    const LOCAL: [&str; 5] = [".local", ".localhost", ".internal", ".lan", ".home.arpa"];
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, ..] = address.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || is_shared
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_unspecified()
        }
        Err(_) => !host.contains('.') || LOCAL.iter().any(|suffix| host.ends_with(suffix)),
    }
}

/// Returns a body without its volatile members: what decides an answer beside the endpoint and the sample's number.
pub fn request_body_star(body: &Value) -> Value {
    let mut star = body.clone();
    if let Value::Object(members) = &mut star {
        members.retain(|name, _| !VOLATILE.contains(&name.as_str()));
        for within in ["parameters", "sampling_params"] {
            if let Some(Value::Object(members)) = members.get_mut(within) {
                members.retain(|name, _| !matches!(name.as_str(), "n" | "seed" | "sampling_seed"));
            }
        }
    }
    star
}

/// Returns the seed of answer number `sample` to a request: the low 31 bits of a digest of the base seed, the body
/// without its volatile members, and the number.
pub fn seed_for(seed_base: u64, body_star: &Value, sample: u32) -> u32 {
    let mut name = Vec::new();
    put_seed_name(&mut name, (seed_base, sample), |into| into.extend_from_slice(canonical_json(body_star).as_bytes()));
    seed_of(&Digest::of_bytes(&name))
}

/// Writes what the digest of [`seed_for`] is the SHA-256 of, behind what is in `into`; `body_star` adds the body's
/// [`canonical_json`].
pub fn put_seed_name(into: &mut Vec<u8>, (seed_base, sample): (u64, u32), body_star: impl FnOnce(&mut Vec<u8>)) {
    put_part(into, |into| into.extend_from_slice(b"cambist seed"));
    put_part(into, |into| into.extend_from_slice(seed_base.to_string().as_bytes()));
    put_part(into, body_star);
    put_part(into, |into| into.extend_from_slice(sample.to_string().as_bytes()));
}

/// Returns the seed that a digest of [`put_seed_name`] stands for: its low 31 bits.
pub fn seed_of(digest: &Digest) -> u32 {
    let last = digest.as_str().get(56..).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    last.unwrap_or_default() & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(base_url: &str, model: &str, identity: Value) -> Endpoint {
        serde_json::from_value(json!({"base_url": base_url, "model": model, "identity": identity})).unwrap()
    }

    fn named(base_url: &str, model: &str, identity: &str) -> String {
        endpoint_identity(&endpoint(base_url, model, json!(identity)), "openai-chat", &ServerFacts::default())
    }

    #[test]
    fn hosted_endpoints_go_by_their_address_and_own_servers_by_their_model() {
        assert_eq!(named("https://API.example.com:443/v1/", "m", "auto"), "openai-chat|host|https://api.example.com|m");
        let own = named("http://127.0.0.1:8000/v1", "m", "auto");
        assert_eq!(own, named("http://10.1.2.3:9", "m", "auto"));
        assert_ne!(own, named("http://10.1.2.3:9", "m2", "auto"));
        assert_ne!(named("http://10.1.2.3:9", "m", "host"), named("http://10.1.2.3:8", "m", "host"));
        // Nobody says which model it is: answers of two servers must not be mixed.
        assert_ne!(named("http://10.1.2.3:9", "", "auto"), named("http://10.1.2.3:8", "", "auto"));
        let explicit = endpoint("http://a", "m", json!({"explicit": "fork-2024"}));
        assert_eq!(endpoint_identity(&explicit, "cohere", &ServerFacts::default()), "cohere|explicit|fork-2024|m");
    }

    #[test]
    fn facts_about_the_weights_are_part_of_the_name() {
        let facts = ServerFacts { revision: Some("abc".into()), ..ServerFacts::default() };
        let server = endpoint("http://localhost:1", "m", json!("auto"));
        let other = endpoint_identity(&server, "openai-chat", &facts);
        assert_ne!(other, endpoint_identity(&server, "openai-chat", &ServerFacts::default()));
    }

    #[test]
    fn passwords_in_an_address_go_into_no_name() {
        for base_url in ["https://user:canary@api.example.com/v1", "user:canary@nowhere"] {
            assert!(!named(base_url, "m", "host").contains("canary"));
        }
    }

    #[test]
    fn private_addresses_are_known() {
        for host in ["localhost", "vllm", "a.local", "192.168.0.7", "172.16.9.1", "100.100.1.1", "[::1]", "[fd00::1]"] {
            assert!(is_private(&format!("http://{host}:80")), "{host}");
        }
        for host in ["api.openai.com", "8.8.8.8", "100.128.0.1", "[2001:db8::1]", "172.32.0.1"] {
            assert!(!is_private(&format!("https://{host}")), "{host}");
        }
    }

    #[test]
    fn volatile_members_change_no_seed_and_everything_else_does() {
        let body = json!({"model": "m", "temperature": 0.3, "parameters": {"top_p": 0.9}});
        let mut noisy = body.clone();
        for name in VOLATILE {
            noisy[name] = json!(name);
        }
        noisy["parameters"]["seed"] = json!(7);
        assert_eq!(request_body_star(&noisy), body);
        let seed = seed_for(42, &request_body_star(&noisy), 0);
        assert_eq!(seed, seed_for(42, &body, 0));
        assert!(seed < 1 << 31);
        let mut others = vec![seed, seed_for(43, &body, 0), seed_for(42, &body, 1)];
        others.push(seed_for(42, &json!({"model": "m", "temperature": 0.4, "parameters": {"top_p": 0.9}}), 0));
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), 4);
    }
}
