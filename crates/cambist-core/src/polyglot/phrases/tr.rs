//! Turkish.

use super::Phrases;

/// The whole of it: order and meaning of the fields are those of [`Phrases`].
pub(super) const PHRASES: Phrases = Phrases {
    tag: "tr",
    other_locales: &[],
    comma: ", ",
    full_stop: ".",
    numerals: [
        "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz", "on", "on bir", "on iki", "on üç",
        "on dört", "on beş", "on altı", "on yedi", "on sekiz", "on dokuz", "yirmi",
    ],
    plus: " artı ",
    minus: " eksi ",
    spellings: &[],
    date_spellings: &[],
    copy_words: ["Tekrarla: {words}", "Bu kelimeleri aynen yaz: {words}", "Aynen söyle: {words}"],
    reverse_digits: ["Rakamları ters çevir: {digits}", "Tersten yaz: {digits}", "Rakamlar ters sırayla: {digits}"],
    date_long: ["Tarihi uzun biçimde yaz: {date}", "Bu tarih nasıl yazılır? {date}", "Uzun tarih olarak: {date}"],
    number_format: ["Sayıyı biçimlendir: {number}", "Ayraçlarla yaz: {number}", "Basamakları grupla: {number}"],
    percent_format: ["Yüzde olarak yaz: {number}", "Yüzde biçiminde: {number}", "Yüzde kaç eder? {number}"],
    currency_format: [
        "Tutarı biçimlendir: {amount}",
        "Fiyatı simgesiyle yaz: {amount}",
        "Bu fiyat nasıl yazılır? {amount}",
    ],
    join_list: ["Tek bir listede birleştir: {items}", "“ve” ile bağla: {items}", "Liste olarak yaz: {items}"],
    country_names: ["Bunlar hangi ülkeler? {codes}", "Ülkelerin adlarını yaz: {codes}", "Ülke adları: {codes}"],
    language_names: ["Bunlar hangi diller? {codes}", "Dillerin adlarını yaz: {codes}", "Dil adları: {codes}"],
    month_names: ["Ayların adlarını yaz: {numbers}", "Bunlar hangi aylar? {numbers}", "Ay adları: {numbers}"],
    relative_time: ["Şu ana göre söyle: {shift}", "Göreli zaman olarak: {shift}", "Şu ana göre ne zaman? {shift}"],
    unit_name: [
        "Birimi kısaltmadan yaz: {quantity}",
        "Birimin tam adıyla: {quantity}",
        "{quantity}: birimi sözcükle yaz",
    ],
    sort_names: ["Alfabetik sırala: {names}", "Alfabe sırasına koy: {names}", "Sözlükteki gibi sırala: {names}"],
    number_words: ["Yazıyla cevapla: {sum}", "{sum} kaç eder? Yazıyla.", "Hesapla, yazıyla: {sum}"],
    addition: ["Hesapla: {sum}", "{sum} kaç eder?", "İşlemi yap: {sum}"],
    unit_conversion: [
        "Çevir: {quantity} = ? {unit}",
        "Birimi değiştir: {quantity} = ? {unit}",
        "Ne kadar eder? {quantity} = ? {unit}",
    ],
    month_shift: ["Hangi ay? {month} {shift}", "Ayın adını yaz: {month} {shift}", "Ayı bul: {month} {shift}"],
    weekday_shift: [
        "Hangi gün? {weekday} {shift}",
        "Günün adını yaz: {weekday} {shift}",
        "Günü bul: {weekday} {shift}",
    ],
    weekday_of_date: ["Haftanın hangi günü? {date}", "Günün adını yaz: {date}", "Hangi güne denk gelir? {date}"],
    date_shift: ["Hangi tarih? {date} {shift}", "Tarihi hesapla: {date} {shift}", "Tarihi bul: {date} {shift}"],
};
