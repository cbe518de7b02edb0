# SPDX-License-Identifier: GPL-2.0-or-later
"""What is for other programs to read is as the schemas have it that are published for it. Each check is shown to see
what does not fit."""

import json
import tarfile

from lib import case
from lib.container import BUNDLE
from lib.env import ROOT
from lib.schemas import misfits

CONTAINERS = ROOT / "conf/container"

AT_DEBUG = False


def check(kind, text, *faults):
    """It fits; and with one fault in it, it does not. faults: (what is there, what is put in its place, words of what
    is told)."""
    assert all(there in text for there, _, _ in faults), text
    told, *wrong = misfits(kind, [text, *(text.replace(there, instead, 1) for there, instead, _ in faults)])
    assert told == [], told
    for (there, _, words), told in zip(faults, wrong):
        assert any(words in line for line in told), (there, told)


@case(engines=(), vm=False, timeout=240)
def test_kubernetes(env):
    """No API server is asked: these are the fields that the published API has for a pod."""
    check("pod", (CONTAINERS / "kubernetes.yml").read_text(encoding="utf-8"),
          ("restartPolicy: Always", "restartPolcy: Always", "V1Container has no restartPolcy"),
          ("containerPort: 9180", 'containerPort: "9180"', "'9180' is no int"),
          ("runAsNonRoot: true", "runAsNonRoot: 1", "1 is no bool"),
          ("          mountPath: /run/spliced\n", "", "mountPath is missing"),
          ("drop: [ALL]", "drop: ALL", "'ALL' is no list"),
          ("seconds: 5", "second: 5", "V1SleepAction has no second"))


@case(engines=(), vm=False, timeout=240)
def test_compose(env):
    check("compose", (CONTAINERS / "compose.yml").read_text(encoding="utf-8"),
          ("cap_drop:", "cap_dropp:", "cap_dropp"),
          ("        condition: service_healthy", "        condition: healthy", "is not"),
          ("read_only: true", "read_only: [true]", "is not of type"))


def bundle():
    """runc.json with the profile, as the image has it."""
    config = json.loads((CONTAINERS / "runc.json").read_text(encoding="utf-8"))
    config["linux"]["seccomp"] = json.loads((CONTAINERS / "seccomp.json").read_text(encoding="utf-8"))
    return json.dumps(config)


@case(engines=(), vm=False, timeout=240)
def test_bundle(env):
    check("runtime", bundle(),
          ('"noNewPrivileges"', '"noNewPrivilege"', "'noNewPrivilege' was unexpected"),
          ('"uid": 65532', '"uid": "65532"', "is not of type 'integer'"),
          ('"SCMP_CMP_MASKED_EQ"', '"SCMP_CMP_MASKED"', "is not one of"),
          ('"action": "SCMP_ACT_ALLOW"', '"why": "SCMP_ACT_ALLOW"', "action"),
          ('"destination": "/proc"', '"destinatio": "/proc"', "destinatio"))


@case(engines=(), vm=False, timeout=240)
def test_image(env):
    """From its index to its configuration, each of the kind that it is said to be."""
    images = list(BUNDLE.parent.glob("spliced-*.tar"))
    if not images:
        env.skip("not built: make image")
    with tarfile.open(images[0]) as tar:
        def read(name):
            return tar.extractfile(name).read().decode()

        def blob(about):
            return read(f"blobs/{about['digest'].replace(':', '/')}")
        index = read("index.json")
        manifest = blob(json.loads(index)["manifests"][0])
        config = blob(json.loads(manifest)["config"])
        check("image-layout", read("oci-layout"), ("1.0.0", "0.9", "is not one of"))
    check("image-index", index, ('"digest"', '"digets"', "digets"))
    check("image-manifest", manifest, ('"size": ', '"size": "", "was": ', "is not of type"))
    check("image-config", config, ('"architecture"', '"architectur"', "architectur"))
