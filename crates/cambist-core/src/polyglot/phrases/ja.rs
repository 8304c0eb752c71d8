//! Japanese.

use super::{Phrases, Spelling};

/// The whole of it: order and meaning of the fields are those of [`Phrases`].
pub(super) const PHRASES: Phrases = Phrases {
    tag: "ja",
    other_locales: &[],
    comma: "、",
    full_stop: "。",
    numerals: [
        "一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二", "十三", "十四", "十五", "十六",
        "十七", "十八", "十九", "二十",
    ],
    plus: "足す",
    minus: "引く",
    spellings: &[Spelling::Anywhere(" ", ""), Spelling::Spaced],
    date_spellings: &[],
    copy_words: [
        "繰り返してください：{words}",
        "この言葉を書き写してください：{words}",
        "そのまま言ってください：{words}",
    ],
    reverse_digits: [
        "数字を逆順にしてください：{digits}",
        "逆から書いてください：{digits}",
        "数字を逆の順序で：{digits}",
    ],
    date_long: ["年月日で書いてください：{date}", "この日付はどう書きますか？{date}", "日付を省略せずに：{date}"],
    number_format: [
        "三桁ごとに区切ってください：{number}",
        "桁区切りを付けて書いてください：{number}",
        "読みやすく桁を区切って：{number}",
    ],
    percent_format: ["百分率で書いてください：{number}", "パーセントで：{number}", "何パーセントですか？{number}"],
    currency_format: [
        "金額を通貨記号で：{amount}",
        "通貨記号で書いてください：{amount}",
        "この値段はどう書きますか？{amount}",
    ],
    join_list: [
        "読点でつないでください：{items}",
        "一つの列挙にまとめてください：{items}",
        "並べて書いてください：{items}",
    ],
    country_names: ["どの国ですか？{codes}", "国名を答えてください：{codes}", "国の名前：{codes}"],
    language_names: ["何語ですか？{codes}", "言語名を答えてください：{codes}", "言語の名前：{codes}"],
    month_names: ["月の名前を書いてください：{numbers}", "何月ですか？{numbers}", "月の名前で：{numbers}"],
    relative_time: ["今を基準に言ってください：{shift}", "相対的な時間で：{shift}", "今から見ていつですか？{shift}"],
    unit_name: ["単位を略さずに：{quantity}", "単位を言葉で書いてください：{quantity}", "単位の名前で：{quantity}"],
    sort_names: [
        "五十音順に、漢字は後に：{names}",
        "五十音順に並べ、漢字は最後に：{names}",
        "かなを先に、漢字を後に、五十音順で：{names}",
    ],
    number_words: ["漢数字で答えてください：{sum}", "{sum}はいくつ？漢数字で。", "計算して漢数字で：{sum}"],
    addition: ["計算してください：{sum}", "{sum}はいくつですか？", "答えを求めてください：{sum}"],
    unit_conversion: [
        "換算してください：{quantity} = ? {unit}",
        "単位を変えてください：{quantity} = ? {unit}",
        "いくつになりますか？{quantity} = ? {unit}",
    ],
    month_shift: [
        "何月になりますか？{month} {shift}",
        "月の名前は？{month} {shift}",
        "何月か求めてください：{month} {shift}",
    ],
    weekday_shift: [
        "何曜日になりますか？{weekday} {shift}",
        "曜日の名前は？{weekday} {shift}",
        "曜日を求めてください：{weekday} {shift}",
    ],
    weekday_of_date: ["何曜日ですか？{date}", "曜日を答えてください：{date}", "この日の曜日は？{date}"],
    date_shift: [
        "何年何月何日ですか？{date} {shift}",
        "日付を計算してください：{date} {shift}",
        "日付を求めてください：{date} {shift}",
    ],
};
