//! Questions with a good and an awful answer, which every reward model must tell apart.

use cambist_core::prompt::Message;

use super::RewardInput;

mod long;

/// A question with a good and an awful answer, all in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePair {
    /// The language's tag.
    pub language: &'static str,
    /// The question.
    pub prompt: &'static str,
    /// An answer that every judge prefers.
    pub good: &'static str,
    /// An answer that nobody wants.
    pub awful: &'static str,
}

impl ProbePair {
    /// Returns the turns with the good answer, and those with the awful one.
    pub fn inputs(&self) -> [RewardInput; 2] {
        [self.good, self.awful].map(|answer| RewardInput {
            messages: vec![Message::user(self.prompt), Message::assistant(answer)],
            rendered: None,
        })
    }
}

/// The pairs: ten, in ten languages, from 20 to about 800 tokens long.
pub const PROBE_PAIRS: [ProbePair; 10] = [
    long::ENGLISH,
    ProbePair {
        language: "de",
        prompt: "Warum ist der Himmel am Tag blau und am Abend rot? Bitte kurz erklären.",
        good: "Sonnenlicht enthält alle Farben. In der Luft wird kurzwelliges blaues Licht viel stärker gestreut als \
               langwelliges rotes, deshalb kommt am Tag aus allen Richtungen blaues Licht zu uns. Am Abend steht die \
               Sonne tief, ihr Licht legt einen viel längeren Weg durch die Luft zurück, und der blaue Anteil ist \
               unterwegs fast ganz herausgestreut. Übrig bleiben Gelb, Orange und Rot.",
        awful: "asdf asdf asdf keine ahnung lol asdf asdf",
    },
    ProbePair {
        language: "fr",
        prompt: "Donne-moi trois conseils simples pour mieux dormir.",
        good: "1. Couchez-vous et levez-vous à la même heure chaque jour, même le week-end : le corps aime la \
               régularité.\n2. Évitez le café après midi et les écrans pendant l'heure qui précède le coucher.\n3. \
               Gardez la chambre fraîche, sombre et silencieuse ; environ 18 °C conviennent à la plupart des gens.",
        awful: "non non non non non non non non non non non non",
    },
    ProbePair {
        language: "es",
        prompt: "¿Cuánto es 17 por 6? Explica el cálculo.",
        good: "17 por 6 es 102. Se puede separar 17 en 10 y 7: 10 × 6 = 60 y 7 × 6 = 42. La suma es 60 + 42 = 102.",
        awful: "17 17 17 qwerty 17 es un pez, creo, xxxxxx",
    },
    ProbePair {
        language: "tr",
        prompt: "Türkiye'nin başkenti neresidir ve ne zamandan beri başkenttir?",
        good: "Türkiye'nin başkenti Ankara'dır. Ankara, Cumhuriyet'in ilanından kısa bir süre önce, 13 Ekim 1923'te \
               başkent olmuştur. Ülkenin en kalabalık şehri ise İstanbul'dur.",
        awful: "zzz zzz bilmiyorum zzz zzz zzz",
    },
    ProbePair {
        language: "ru",
        prompt: "Почему лёд плавает в воде?",
        good: "Лёд плавает, потому что его плотность меньше плотности воды. При замерзании молекулы воды \
               выстраиваются в решётку с пустотами, и объём увеличивается примерно на девять процентов. Поэтому кусок \
               льда легче такого же объёма воды и держится на поверхности.",
        awful: "ыыы ыыы ыыы не скажу ыыы",
    },
    ProbePair {
        language: "ar",
        prompt: "ما فوائد المشي اليومي للصحة؟",
        good: "المشي اليومي يقوّي القلب ويحسّن الدورة الدموية، ويساعد على ضبط الوزن ومستوى السكر في الدم. كما يخفّف \
               التوتر ويحسّن المزاج والنوم. وتكفي نحو ثلاثين دقيقة من المشي السريع معظم أيام الأسبوع لتظهر هذه الفوائد.",
        awful: "هههههه هههههه لا لا لا هههههه",
    },
    ProbePair {
        language: "hi",
        prompt: "पौधे अपना भोजन कैसे बनाते हैं?",
        good: "पौधे प्रकाश संश्लेषण से अपना भोजन बनाते हैं। पत्तियों का हरा पदार्थ, क्लोरोफिल, सूर्य के प्रकाश की ऊर्जा \
               ग्रहण करता है। इस ऊर्जा से पौधा हवा की कार्बन डाइऑक्साइड और जड़ों से आए पानी को शर्करा में बदलता है, और \
               ऑक्सीजन बाहर निकलती है।",
        awful: "पता नहीं पता नहीं कखग कखग कखग",
    },
    ProbePair {
        language: "ja",
        prompt: "電子レンジはどうやって食べ物を温めるのですか。",
        good: "電子レンジはマイクロ波という電波を食品に当てます。食品に含まれる水の分子がその電波に合わせて激しく向きを変え、\
               分子どうしの摩擦で熱が生まれます。そのため水分の多い食品ほど早く温まり、乾いた皿はあまり熱くなりません。",
        awful: "ああああああああ しらない ああああああああ",
    },
    ProbePair {
        language: "zh",
        prompt: "请用两三句话说明为什么会有四季。",
        good: "四季的产生是因为地球的自转轴是倾斜的，大约二十三度半。地球绕太阳公转时，南北半球轮流偏向太阳：偏向太阳的半球\
               阳光更直、白天更长，就是夏天；偏离太阳的半球则是冬天。这与地球离太阳的远近关系不大。",
        awful: "啊啊啊啊啊啊 不知道 啊啊啊啊啊啊",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_pairs_are_as_many_and_as_long_as_the_probe_needs() {
        let languages: BTreeSet<&str> = PROBE_PAIRS.iter().map(|pair| pair.language).collect();
        assert!(PROBE_PAIRS.len() >= 8 && languages.len() >= 6);
        for pair in PROBE_PAIRS {
            let [good, awful] = pair.inputs();
            assert_ne!(good, awful);
            assert!(pair.good.chars().count() > 2 * pair.awful.chars().count(), "{}", pair.language);
        }
        let n_words = long::ENGLISH.good.split_whitespace().count();
        assert!((450..=800).contains(&n_words), "{n_words}");
    }
}
