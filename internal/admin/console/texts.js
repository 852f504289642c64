// The relay's own sentences in Japanese: alarms, what gate and guard say, and
// what they write into the history. The API speaks English only. A sentence that
// is not here, such as what somebody has typed, stays as it is. The left side is
// the format as it stands in the relay's source: a test compares them.
import { language } from "./page.js";

const alarms = [
  // Of the API.
  ["the brake is on: SES gets %s %% instead of %s %% (%s: %s)", "ブレーキ作動中:SESの割合は {2} % ではなく {1} % です({3}:{4})"],
  ["the brake is on: SES gets no more than %s %% (%s: %s)", "ブレーキ作動中:SESの割合は最大 {1} % です({2}:{3})"],
  ["the split in force is not saved, a restart would forget it: look at the disk of state.file", "適用中の振り分けを保存できていません。再起動すると失われます。state.file のディスクを確認してください"],
  ["%d of %d instances do not apply version %d yet", "{2} 台中 {1} 台がバージョン {3} をまだ適用していません"],
  ["the breaker of %s is open: %s", "{1} のブレーカーが遮断中です:{2}"],
  ["%s accepted %.2f %% of %d messages in five minutes", "直近5分間の {1} の受付率は {2} % です({3} 通中)"],
  ["the 24-hour quota of SES is spent: mail for SES goes the way of quota.on_exhausted", "SESの24時間のクォータを使い切りました。SES宛のメールは quota.on_exhausted の設定に従います"],
  ["the sending rate of SES is used up: mail for SES goes the way of quota.on_exhausted", "SESの送信レートを使い切っています。SES宛のメールは quota.on_exhausted の設定に従います"],
  ["%.0f of %.0f recipients of the 24-hour quota are used", "24時間のクォータ {2} 宛先のうち {1} 宛先を使用しました"],
  ["SES throttles: %.1f recipients a second instead of %.1f", "SESがスロットリング中です:毎秒 {2} 宛先のところ {1} 宛先に下げています"],
  ["the sending quota is not known until GetAccount answers: SES gets %.1f recipients a second", "GetAccount が応答するまで送信クォータは不明です。SESへは毎秒 {1} 宛先に抑えています"],
  // Of the process.
  ["Redis does not answer (%s): the split stays as it is and can only be lowered, the quota falls to a share of 1/%d, the duplicate ledger is each instance's own; start Redis again or look at state.redis",
    "Redisが応答しません({1})。振り分けは現状のままで、引き下げだけができます。クォータは各インスタンスが 1/{2} ずつ使い、重複台帳はインスタンスごとになります。Redisを起動するか、state.redis を確認してください"],
  ["Redis is slow (%s): the quota falls to a share of 1/%d, the duplicate ledger is each instance's own; look at the load of Redis and the way to it",
    "Redisの応答が遅れています({1})。クォータは各インスタンスが 1/{2} ずつ使い、重複台帳はインスタンスごとになります。Redisの負荷と経路を確認してください"],
  ["GetAccount fails (%s), the quota of SES is not known: %s", "GetAccount が失敗し({1})、SESのクォータは不明です。{2}"],
  ["GetAccount fails (%s), the last known quota counts: %s", "GetAccount が失敗しています({1})。最後に取得したクォータを使います。{2}"],
  ["the identities of SES cannot be read (%s), the last known ones count: %s", "SESのアイデンティティ(送信ドメイン)の一覧を取得できません({1})。最後に取得したものを使います。{2}"],
  ["no sender domain may go to SES (%s), all mail takes Cuenote: %s; or list the domains in ses.identities", "SESで送れる送信ドメインがないため({1})、すべてCuenoteへ送ります。{2}。または ses.identities にドメインを書いてください"],
  ["SES has disabled sending for this account (%s): mail takes Cuenote; %s", "SESがこのアカウントの送信を停止しました({1})。メールはCuenoteへ送ります。{2}"],
  ["the SES account is in the sandbox: only verified recipients get mail; request production access", "SESアカウントがサンドボックスにあり、検証済みの宛先にしか届きません。本番稼働アクセスを申請してください"],
  ["\"relay check --live\" says what to do", "対処は relay check --live で確認できます"],
  ["SES has no verified identity", "SESに検証済みのアイデンティティがありません"],
];

const sentences = [
  // The plan behind a change.
  ["the peak is not known: set traffic.peak_per_minute, or ask again under load", "ピーク時の流量が不明です。traffic.peak_per_minute を設定するか、流量があるときに確認してください"],
  ["SES's sending rate is not known yet: GetAccount has not answered, and quota.rate is auto", "SESの送信レートがまだ不明です(GetAccount の応答待ち、quota.rate は auto)"],
  ["%s %% of the peak of %s messages a minute, %s each, is %s recipients a second; SES allows %s (headroom taken off): %s are missing",
    "ピーク毎分 {2} 通({3})の {1} % は毎秒 {4} 宛先です。SESの上限は {5}(余裕分を除く)で、{6} 不足します"],
  ["the daily volume is not known: set traffic.per_day", "1日の通数が不明です。traffic.per_day を設定してください"],
  ["SES's 24-hour quota is not known yet: GetAccount has not answered, and quota.daily is auto", "SESの24時間のクォータがまだ不明です(GetAccount の応答待ち、quota.daily は auto)"],
  ["%s %% of %s messages a day, %s each, is %s recipients; SES allows %s in 24 hours: %s are missing",
    "1日 {2} 通({3})の {1} % は {4} 宛先です。SESの24時間の上限は {5} で、{6} 不足します"],
  ["the rest at the peak is %s messages a second; Cuenote carries %s (cuenote.rate): %s are missing", "ピーク時の残りは毎秒 {1} 通です。Cuenoteの上限は {2}(cuenote.rate)で、{3} 不足します"],
  ["the 24-hour quota of SES is spent now: %s of %s recipients", "SESの24時間のクォータを使い切っています:{2} 宛先中 {1} 宛先"],
  ["the peak of %s messages a minute is that of the last %s only: set traffic.peak_per_minute", "ピーク毎分 {1} 通は直近 {2} だけの値です。traffic.peak_per_minute を設定してください"],
  ["1 recipient", "1通あたり1宛先"],
  ["%s recipients", "1通あたり {1} 宛先"],

  // Gate and guard.
  ["%s: no figures", "{1}:数値がありません"],
  ["%s accepted %s of %d messages", "{1} の受付率は {2}({3} 通中)"],
  ["SES delivered %s of %d messages whose end it reported", "結果が報告された {2} 通のうち、SESの配信成功率は {1}"],
  ["%s of %d messages bounced", "バウンス率は {1}({2} 通中)"],
  ["%s of %d messages delivered were complained about", "苦情率は {1}(配信 {2} 通中)"],
  [" (%.2f to %.2f %% at 99 %% confidence)", "(99 % 信頼区間 {1} ~ {2} %)"],
  ["the delay of %d messages %s is %s at the 95th percentile (%s to %s at 99 %% confidence)", "{2} {1} 通の遅延は95パーセンタイルで {3}(99 % 信頼区間 {4} ~ {5})"],
  ["through SES", "SES経由"], ["through Cuenote", "Cuenote経由"],
  ["; %d are needed to judge", "判定には {1} 通必要です"],
  ["; the limit is %s %%, but chance could do this to a sample of that size", "基準は {1} % ですが、このサンプル数では偶然の範囲です"],
  ["; the limit is %s %%", "基準は {1} % です"],
  ["; that does not yet show %s %%", "基準 {1} % を満たすとはまだ言えません"],
  ["; %s %% is asked for", "基準は {1} % です"],
  ["; the limit is %s, but chance could do this to a sample of that size", "基準は {1} ですが、このサンプル数では偶然の範囲です"],
  ["; the limit is %s", "基準は {1} です"],
  ["; that does not yet show %s", "基準 {1} を満たすとはまだ言えません"],
  ["; at most %s is asked for", "上限は {1} です"],
  ["; but so it is with Cuenote: %s", "ただしCuenoteも同様です:{1}"],
  ["SES accepted %d messages since its newest report, the first of them %s ago", "SESは最後の報告以降に {1} 通を受け付けました(そのうち最も古いものは {2} 前)"],
  ["SES has reported on what it accepted", "SESは受け付けたメールの結果をすべて報告済みです"],
  ["blind to delivery (rollout.events is none): promote by hand when the figures elsewhere are good", "配信結果が見えません(rollout.events が none)。他の手段で良好と確認してから手動で進めてください"],
  ["the guard: %s", "ガード:{1}"],
  ["the plan: %s", "容量の確認:{1}"],
  ["not judged yet", "まだ判定していません"],
  ["no step is in force", "適用中の段階がありません"],
  ["what SES reports has not been read since this instance leads", "このインスタンスが主導してから、SESの報告をまだ読んでいません"],
  ["what SES reports is read by the instance that leads, and not here", "SESの報告は主導インスタンスが読んでいるため、ここではわかりません"],
  ["SES's reports end before this instance came, and it is not yet clear whether more come", "SESの報告はこのインスタンスの起動前で途切れており、続きがあるかまだわかりません"],
  ["what SES reports has not been read for half a minute", "SESの報告を30秒以上読めていません"],

  // What the rollout writes into the history.
  ["rollback: %s", "切り戻し:{1}"],
  ["rollout: %s", "段階移行:{1}"],
  ["rollout aborted: %s", "段階移行を中止:{1}"],
  ["split.ses_percent, nothing stored yet", "split.ses_percent の値、保存された設定なし"],
  ["no reason given", "理由の記入なし"],
  ["started by hand", "手動で開始"],
  ["paused by hand", "手動で一時停止"],
  ["resumed by hand", "手動で再開"],
  ["promoted by hand", "手動で次の段階へ"],
  ["the gate has passed", "ゲートを通過"],
  ["the gate at %s %% has passed", "{1} % のゲートを通過"],
  ["the start was interrupted", "開始が中断されました"],
  ["this pause has no end: look, then promote or resume", "この待機に期限はありません。確認してから「次へ進む」か「再開」を押してください"],
  ["lowered to where the rollback went", "切り戻し先の割合まで引き下げ"],
  ["lowered by the abort", "中止により引き下げ"],
  ["%s has pulled the brake: %s", "{1} がブレーキを引きました:{2}"],
  ["%s has changed the split from %s %% to %s %% (version %d): %s", "{1} が振り分けを {2} % から {3} % に変更しました(バージョン {4}):{5}"],
];

const names = { acceptance: "SES受付率", delay: "遅延", success: "配信成功率", bounce: "バウンス率", complaint: "苦情率" };

// compile makes a pattern of a format: a verb stands for a number or any text.
function compile([format, japanese]) {
  const source = format.split(/(%[-+.0-9]*[a-z%])/).map((p) => p === "%%" ? "%" : /^%d$/.test(p) ? "(\\d+)" : /^%[.0-9]*f$/.test(p) ? "([-.\\d]+)" : p === "%s" ? "(.+?)"
    : p.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("");
  return [new RegExp(`^${source}$`, "s"), japanese];
}
const isTail = ([format]) => format.startsWith("; "); // what gate and guard add to a figure
const warnings = alarms.map(compile), wholes = sentences.filter((s) => !isTail(s)).map(compile), tails = sentences.filter(isTail).map(compile);

// formats is for the test.
export const formats = [...alarms, ...sentences].map(([format]) => format);

// inJapanese translates a text, and what stands inside it.
export function inJapanese(text) { return led(text) ?? find(warnings, text) ?? judged(text) ?? several(text) ?? find(wholes, text) ?? names[text] ?? text; }

function find(patterns, text) {
  for (const [pattern, japanese] of patterns) {
    const m = pattern.exec(text);
    if (m) return japanese.replace(/\{(\d)\}/g, (_, n) => inJapanese(m[n]));
  }
  return null;
}

// led is a text behind the word for where it comes from.
function led(text) {
  const m = /^(?:the guard|the plan|rollback|rollout|rollout aborted): /.exec(text);
  return m && find(wholes.filter(([pattern]) => pattern.test(m[0] + "x")), text);
}

// judged is what gate and guard put together: a figure, its confidence, what was
// asked for, and the same of Cuenote.
function judged(text) {
  const both = text.split("; but so it is with Cuenote: ");
  if (both.length === 2) return both.map(inJapanese).join("。ただしCuenoteも同様です:");
  const m = /^([^;]+?)( \([^()]+ % at 99 % confidence\))?(; [^;]+)?$/s.exec(text);
  if (!m || !m[2] && !m[3]) return null;
  const figure = find(wholes, m[1]), tail = m[3] ? find(tails, m[3]) : "";
  return figure === null || tail === null ? null : figure + (m[2] ? find(wholes, m[2]) : "") + (tail && "。" + tail);
}

// several are more of them than one: the guard names all that it has found.
function several(text) {
  const parts = text.split("; ");
  for (let n = parts.length - 1; n > 0; n--) {
    const first = parts.slice(0, n).join("; "), japanese = judged(first);
    if (japanese !== null) return japanese + "。" + inJapanese(parts.slice(n).join("; "));
  }
  return null;
}

// said is a text of the relay's in the language of the page.
export function said(text) { return text && language() === "ja" ? inJapanese(text) : text; }

// original gives an element the text as the log and the commands have it, where
// the page shows another.
export function original(e, text) {
  if (said(text) !== text) e.title = text;
  return e;
}
