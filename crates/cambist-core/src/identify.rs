//! Which language a text is in.

use std::{collections::BTreeMap, sync::LazyLock};

use icu::locale::{Locale, LocaleCanonicalizer};
use serde::{Deserialize, Serialize};
use whatlang::{Detector, Lang};

use crate::language::Language;

/// A language that a text seems to be in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identified {
    /// The language, by its shortest BCP-47 tag.
    pub language: Language,
    /// How far ahead of the next language it is, 0 to 1; not a calibrated probability.
    pub confidence: f64,
}

/// The languages that can be told, by their tags.
static KNOWN: LazyLock<BTreeMap<Language, Lang>> = LazyLock::new(|| {
    let canonicalizer = LocaleCanonicalizer::new_extended();
    let tagged = |lang: &Lang| {
        let mut locale = Locale::try_from_str(lang.code()).ok()?;
        canonicalizer.canonicalize(&mut locale);
        Some((Language::parse(&locale.id.to_string()).ok()?, *lang))
    };
    Lang::all().iter().filter_map(tagged).collect()
});

/// Languages whose written forms letter statistics cannot tell apart.
const RELATIVES: [&[&str]; 5] =
    [&["bs", "cnr", "hr", "sh", "sr"], &["da", "nb", "nn", "no"], &["id", "jv", "ms"], &["fa", "prs"], &["fil", "tl"]];

/// Languages that are far more often a mistake about short texts in another language than the truth.
const RARE: [&str; 9] = ["ak", "eo", "fil", "jv", "la", "sn", "tk", "yi", "zu"];

/// Returns the language that `text` is most likely in; none when it has no letters.
///
/// Chinese is `zh` whatever its script, Norwegian is `nb`; languages outside the 70 that are known come out as a known
/// one.
pub fn identify(text: &str) -> Option<Identified> {
    let info = whatlang::detect(text)?;
    named(info.lang(), info.confidence())
}

/// Returns the language that `text` is most likely in, given that it should be in `expected`: languages that hardly
/// anyone writes are out of the question unless expected.
pub fn identify_expecting(text: &str, expected: &Language) -> Option<Identified> {
    let is_out = |tag: &Language| RARE.contains(&tag.as_str()) && tag.primary() != expected.primary();
    let denied = KNOWN.iter().filter(|(tag, _)| is_out(tag)).map(|(_, lang)| *lang).collect();
    let info = Detector::with_denylist(denied).detect(text)?;
    named(info.lang(), info.confidence())
}

fn named(lang: Lang, confidence: f64) -> Option<Identified> {
    let language = KNOWN.iter().find(|(_, known)| **known == lang)?.0.clone();
    Some(Identified { language, confidence })
}

/// Whether [`identify`] can tell `language`, or a close relative of it, from others.
pub fn can_identify(language: &Language) -> bool {
    KNOWN.keys().any(|known| is_same_or_relative(known, language))
}

/// Whether two tags name one language, or two that letter statistics cannot tell apart (Danish and Norwegian, Croatian
/// and Serbian, Indonesian and Malay).
pub fn is_same_or_relative(a: &Language, b: &Language) -> bool {
    let (a, b) = (a.primary(), b.primary());
    a == b || RELATIVES.iter().any(|group| group.contains(&a) && group.contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> String {
        identify(text).unwrap().language.to_string()
    }

    #[test]
    fn sentences_in_their_own_scripts() {
        let sentences = [
            ("ar", "تقع العاصمة على ضفة النهر، ويسكنها أكثر من مليوني نسمة يعملون في التجارة والصناعة."),
            ("de", "Die Bundesregierung hat gestern beschlossen, die Steuern für kleine Betriebe zu senken."),
            ("en", "The government decided yesterday to lower the taxes that small businesses have to pay."),
            ("es", "El gobierno decidió ayer bajar los impuestos que pagan las pequeñas empresas del país."),
            ("fr", "Le gouvernement a décidé hier de baisser les impôts que paient les petites entreprises."),
            ("he", "הממשלה החליטה אתמול להוריד את המיסים שמשלמים העסקים הקטנים בארץ."),
            ("ja", "政府は昨日、中小企業が支払う税金を引き下げることを決定しました。"),
            ("ko", "정부는 어제 중소기업이 내는 세금을 낮추기로 결정했습니다."),
            ("ru", "Правительство вчера решило снизить налоги, которые платят малые предприятия страны."),
            ("th", "เมื่อวานนี้รัฐบาลตัดสินใจลดภาษีที่ธุรกิจขนาดเล็กต้องจ่าย"),
            ("tr", "Hükümet dün küçük işletmelerin ödediği vergileri düşürmeye karar verdiğini açıkladı."),
            ("uk", "Уряд учора вирішив знизити податки, які сплачують малі підприємства нашої країни."),
            ("zh", "政府昨天决定降低小企业需要缴纳的税款，新规定从下个月开始实行。"),
        ];
        for (expected, text) in sentences {
            assert_eq!(tag(text), expected, "{text}");
        }
        assert_eq!(identify("12 + 30 = 42"), None);
    }

    #[test]
    fn every_known_language_has_a_short_tag_of_its_own() {
        assert_eq!(KNOWN.len(), Lang::all().len());
        assert!(KNOWN.keys().all(|tag| tag.as_str().len() == 2 || tag.as_str() == "fil"), "{:?}", KNOWN.keys());
    }

    #[test]
    fn relatives_are_not_told_apart() {
        let language = |tag| Language::parse(tag).unwrap();
        assert!(is_same_or_relative(&language("nb"), &language("da")));
        assert!(is_same_or_relative(&language("zh-hant"), &language("zh")));
        assert!(!is_same_or_relative(&language("uk"), &language("ru")));
        assert!(can_identify(&language("ms")) && !can_identify(&language("eu")));
    }
}
