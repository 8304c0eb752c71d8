//! `key.sub=value` on the command line, laid over the recipe before it is checked.

use super::{
    TOP_LEVEL,
    decode::unknown,
    fault::{Fault, Place},
    node::{Content, Entry, Node},
};

/// Lays the override `path=value` over the tree; the value is read as YAML, and stands at `place` from then on.
///
/// A path is keys joined by dots. Steps, teachers and arbiters are addressed by their ids:
/// `students.train.config.steps=50`, `pool.mono.price.output=0.2`, `seed=9`.
///
/// # Errors
/// When there is no `=`, the value is no YAML, or the path leads nowhere.
pub(super) fn apply(root: &mut Node, assignment: &str, place: Place) -> Result<(), Fault> {
    let Some((path, value)) = assignment.split_once('=') else {
        let remedy = "write it as `key.sub=value`, for example `seed=9`";
        return Err(Fault::new(place, "there is no `=` in it", remedy));
    };
    let mut value = if value.trim().is_empty() {
        Node { place, content: Content::Scalar(serde_json::Value::Null) }
    } else {
        Node::parse(value).map_err(|fault| Fault { place, ..fault })?
    };
    value.move_to(place);
    let keys: Vec<&str> = path.split('.').collect();
    *target(root, &keys, place)? = value;
    Ok(())
}

/// The value that the keys lead to; mappings on the way are made where they are not there.
fn target<'a>(root: &'a mut Node, keys: &[&str], place: Place) -> Result<&'a mut Node, Fault> {
    let known: Vec<String> = known_starts(root);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let (first, rest) = keys.split_first().unwrap_or((&"", &[]));
    if !known.contains(first) {
        return Err(unknown(place, ("key or step", first), &known));
    }
    let start = if TOP_LEVEL.contains(first) { vec![*first] } else { vec!["steps", *first] };
    let mut node = root;
    for key in start.iter().chain(rest) {
        node = descend(node, key, place)?;
    }
    Ok(node)
}

/// What a path may begin with: the keys of a recipe and the ids of its steps.
fn known_starts(root: &Node) -> Vec<String> {
    let steps = match root.get("steps").map(|steps| &steps.content) {
        Some(Content::Sequence(steps)) => steps.iter().filter_map(id_of).collect(),
        _ => Vec::new(),
    };
    TOP_LEVEL.iter().map(|&key| key.to_owned()).chain(steps).collect()
}

fn descend<'a>(node: &'a mut Node, key: &str, place: Place) -> Result<&'a mut Node, Fault> {
    let nowhere = |found: String, known: Vec<String>| {
        let remedy = if known.is_empty() {
            "name a key of the recipe, or a step by its id: `students.train.config.steps=50`".to_owned()
        } else {
            format!("known there: {}", known.join(", "))
        };
        Fault::new(place, format!("`{key}` leads nowhere: {found}"), remedy)
    };
    let found = node.describe();
    match &mut node.content {
        Content::Sequence(items) => {
            let known: Vec<String> = items.iter().filter_map(id_of).collect();
            let item = items.iter_mut().find(|item| id_of(item).as_deref() == Some(key));
            item.ok_or_else(|| nowhere("the list has no such id".to_owned(), known))
        }
        Content::Mapping(entries) => {
            let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
                let value = Node { place, content: Content::Mapping(Vec::new()) };
                entries.push(Entry { key: key.to_owned(), key_place: place, value });
                entries.len() - 1
            });
            entries.get_mut(index).map(|entry| &mut entry.value).ok_or_else(|| nowhere(found, Vec::new()))
        }
        Content::Scalar(_) => Err(nowhere(format!("it stands under {found}"), Vec::new())),
    }
}

/// The `id` of an item; of a step without one, its verb.
fn id_of(item: &Node) -> Option<String> {
    let id = item.get("id").map(Node::to_json);
    match (id, &item.content) {
        (Some(id), _) => id.as_str().map(str::to_owned),
        (None, Content::Mapping(entries)) => entries.first().map(|entry| entry.key.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Node {
        Node::parse("seed: 7\npool:\n  - {id: mono}\nsteps:\n  - id: a\n    train: {steps: 5}\n").unwrap()
    }

    #[test]
    fn steps_and_teachers_are_reached_by_id() {
        let mut root = recipe();
        for assignment in ["a.train.steps=9", "pool.mono.price.output=0.2", "seed=8", "a.train.seeds=[1, 2]"] {
            apply(&mut root, assignment, Place::Override(0)).unwrap();
        }
        let json = root.to_json();
        assert_eq!(json["steps"][0]["train"]["steps"], 9);
        assert_eq!(json["pool"][0]["price"]["output"], 0.2);
        assert_eq!(json["seed"], 8);
        assert_eq!(json["steps"][0]["train"]["seeds"][1], 2);
    }

    #[test]
    fn what_leads_nowhere_is_said() {
        let told = |assignment: &str| apply(&mut recipe(), assignment, Place::Override(0)).unwrap_err();
        assert_eq!(told("b.train.steps=9").what, "unknown key or step `b`");
        assert_eq!(told("pool.nobody.price=9").remedy, "known there: mono");
        assert_eq!(told("seed.x=9").what, "`x` leads nowhere: it stands under `7`");
        assert_eq!(told("seed").what, "there is no `=` in it");
    }

    #[test]
    fn a_step_without_an_id_is_called_by_its_verb() {
        let mut root = Node::parse("steps:\n  - report: {}\n").unwrap();
        apply(&mut root, "report.report.title=Twelve", Place::Override(0)).unwrap();
        assert_eq!(root.to_json()["steps"][0]["report"]["title"], "Twelve");
    }
}
