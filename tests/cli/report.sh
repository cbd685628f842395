#!/bin/sh
# Reports of studies and single runs: whole in themselves, well-formed, the same for the same runs; and what is refused.
. "$(dirname "$0")/lib.sh"

works study --quiet --limit 128 --epochs 1 --batches 64,32 --groups 4,1 --seeds 2 --norms bn,gn --test-flip 1 --out study
works report study
check "it says where it is" grep -q '^10 runs: study/report.html and study/report.md$' out
for picture in accuracy loss batches groups confusion misclassified-bn misclassified-gn; do
    check "$picture.png" test -s "study/report-$picture.png"
    check "$picture.png stands in the Markdown" grep -q "](report-$picture.png)" study/report.md
done
check "no other picture" [ "$(find study -maxdepth 1 -name '*.png' | wc -l)" -eq 7 ]
check "every picture is in the page" [ "$(grep -o '<img width="[0-9]*" src="data:image/png;base64,' study/report.html | wc -l)" -eq 7 ]
check "nothing is fetched" no grep -Eq '(src|href)="?(http|//|file)|@import|url\(' study/report.html
check "the accuracy table: BN" grep -Eq '^\| BN \| 2 \| \*\*[0-9.]+ ± [0-9.]+\*\* \|' study/report.md
check "the accuracy of the runs" grep -Eq "^\| GN-4 \| 2 \| $(printf '%.2f' "$(value study/s8n-gn4-b64-s2/summary.json test_acc)") \|" study/report.md
check "a column of its own for test-time flip" grep -Eq "^\| GN-4 \| 2 .*\| [0-9.]+ ± [0-9.]+ \|$" study/report.md
check "its values" grep -q '"test_acc_flip": [0-9]' study/s8n-gn4-b64-s2/summary.json
check "the sample is named" grep -q '^> Trained on the bundled sample' study/report.md
check "no value that is no number" no grep -Eiq '[ >(]-?(nan|inf)[ <.,)]' study/report.html study/report.md

if command -v python3 >/dev/null; then
    cat >well_formed.py <<'PY'
import html.parser, sys
VOID = {"meta", "img", "br", "hr", "link", "input"}
class Check(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()
    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)
    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            sys.exit(f"</{tag}> at {self.getpos()} closes nothing")
check = Check()
check.feed(open(sys.argv[1], encoding="utf-8", errors="strict").read())
check.close()
if check.open or not {"html", "title", "table", "figure", "ul"} <= check.seen:
    sys.exit(f"open at the end: {check.open}; seen: {check.seen}")
PY
    check "the page is well-formed" python3 well_formed.py study/report.html
fi

# ---- again, elsewhere, and with a run that is not finished
cp study/report.md before.md
works report study --out elsewhere
check "the same runs give the same report" cmp before.md elsewhere/report.md
cp study/report-accuracy.png before.png
check "and the same pictures" cmp before.png elsewhere/report-accuracy.png
rm study/s8n-bn-b64-s2/summary.json
works report study
check "a run that is not finished is left out, and it says so" grep -q '1 unfinished run is left out' err
check "one seed less" grep -q '^| BN | 1 |' study/report.md
check "the report says so, too" grep -q '^> 1 run is left out' study/report.md

# ---- single runs, and a bench
works train --quiet --limit 128 --epochs 1 --batch 64 --norm ln --seed 3 --out single
works report single
check "a single run" grep -q '^# Layer norm: a report' single/report.md
works bench step --norm bn,none --batch 64 --min-time 0.05 --json bench.json
works report single study --bench bench.json --out both
check "two folders in one report" grep -Eq '^\| LN \| 3 \|' both/report.md
check "the bench's step" grep -Eq '^\| BN \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ … [0-9.]+ \| [0-9.]+ \|$' both/report.md
error 10 'no rows of clnorm bench step' report study/s8n-bn-b32-s1 --bench bench.json --out both


# ---- a run of a version that had fewer settings
cp -r single older
sed '/"shift": /d; /"warmup": /d' single/config.json >older/config.json
works report older
check "settings that were not there are the defaults" cmp single/report.md older/report.md

# ---- what is refused
error 2 'which study' report
error 9 'nowhere' report nowhere
mkdir hollow
error 9 'hollow holds no finished run' report hollow
error 2 'same settings and seed' report study study --out both
cp -r single damaged
is_data_error() { [ "$1" -eq 10 ] || [ "$1" -eq 12 ]; }
refused() # FILE: the damaged run is, with a line that names it
{
    clnorm report damaged
    check "$1: status 10 or 12" is_data_error "$status"
    check "$1: one line that names it" grep -q "^clnorm: .*damaged/$1" err
    check "$1: one line" one_line err
}
for file in config.json metrics.jsonl outcome.json summary.json; do
    head -c 150 single/$file >damaged/$file
    refused "$file"
    : >damaged/$file
    refused "$file"
    cp single/$file damaged/
done
sed 's/"test_acc": [0-9.]*/"test_acc": 1e999/' single/summary.json >damaged/summary.json
error 10 'damaged/summary.json' report damaged
sed 's/"test_acc": [0-9.]*/"test_acc": 101/' single/summary.json >damaged/summary.json
error 10 'test_acc is 101, expected 0 to 100' report damaged
cp single/summary.json damaged/
sed 's/"norm": "ln"/"norm": "gn"/' single/config.json >damaged/config.json
error 10 'summary.json' report damaged
sed 's/"norm": "ln"/"norm": "..\/x"/' single/config.json >damaged/config.json
error 10 "config.json.*there is no norm '../x'" report damaged
: >file
error 9 'file' report single --out file
finish
