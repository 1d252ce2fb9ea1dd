"""A training on a real small file system that is full, and then is not: one incident, only there, and nothing that was saved is lost."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, subprocess, sys
from pathlib import Path
import torch
from torch import nn
import ganwatch
from ganwatch.checkpoints import guard

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
guard.PAUSES = (0.01, 0.01)
torch.manual_seed(0)
g, d = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2)), nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 1))
opt_g, opt_d = (torch.optim.Adam(network.parameters()) for network in (g, d))
ballast, loaded, incidents = folder / "ballast", {}, []
note = lambda one: incidents.append((one.code, str(one.state)))
with ganwatch.watch(G=g, D=d, store=None, audit_seconds=0.0, on_incident=note) as watching:
    for step in range(1, 401):
        if step == 50:
            with open(ballast, "wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
        if step == 110:
            ballast.unlink()
        for opt, loss in ((opt_d, lambda: d(g(torch.randn(8, 2)).detach()).mean() - d(torch.randn(8, 2)).mean()),
                          (opt_g, lambda: -d(g(torch.randn(8, 2))).mean())):
            opt.zero_grad()
            loss().backward()
            opt.step()
        if step % 20 == 0 and step <= 160:
            watching.checkpoint(folder / "saved", {"G": g, "facts": {"step": step}, "filler": {"x": torch.zeros(25_000)}}, keep=1)
            watching.wait_for_checkpoints()
            loaded[step] = ganwatch.load_checkpoint(folder / "saved")["facts"]["step"]
print(json.dumps({"loaded": loaded, "incidents": incidents}))
"""


@pytest.mark.slow
def test_a_full_disk_is_one_incident_and_nothing_is_lost(tmp_path):
    """Mounted in a namespace of its own, so that nothing is left if the test is killed."""
    words = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", SCRIPT, tmp_path]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["loaded"] == {"20": 20, "40": 40, "60": 40, "80": 40, "100": 40, "120": 120, "140": 140, "160": 160}
    assert [one for one in found["incidents"] if one[0] == "GW511"] == [["GW511", "firing"], ["GW511", "resolved"]]
