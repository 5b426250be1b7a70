from __future__ import annotations

from runtimed.environments.progress import Progress, UvReader

SAID = """\
Using Python 3.11.7 environment at: e2
Resolved 38 packages in 119ms
Downloading numpy (16.1MiB)
Downloading pandas (11.8MiB)
 Downloaded pandas
   Building odd-one==1.0
      Built odd-one==1.0
 Downloaded numpy
Prepared 38 packages in 1.05s
Installed 38 packages in 85ms
 + asttokens==3.0.2
Bytecode compiled 4159 files in 5.28s
"""


def test_what_uv_says_becomes_phases_with_counts() -> None:
    seen: list[Progress] = []
    reader = UvReader(seen.append)

    for line in SAID.splitlines():
        reader.read(line)

    assert [(step.phase, step.done, step.total) for step in seen] == [
        ("downloading", 0, 38),
        ("downloading", 0, 1),
        ("downloading", 0, 2),
        ("downloading", 1, 2),
        ("building", 1, 3),
        ("building", 2, 3),
        ("downloading", 3, 3),
        ("installing", 0, 38),
        ("compiling", 38, 38),
    ]
    assert seen[3].message == "Downloaded pandas"


def test_one_package_is_read_as_well_as_many() -> None:
    seen: list[Progress] = []

    UvReader(seen.append).read("Installed 1 package in 1ms")

    assert [step.phase for step in seen] == ["compiling"]
