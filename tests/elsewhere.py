"""Provisioners that are not ours, as another package would bring them: one tells the pid of its kernel, one does not.

``install`` makes a distribution with the entry point and a kernelspec that names it, both found by PYTHONPATH and
JUPYTER_PATH, so that a daemon finds them as it would find gateway_provisioners or a cluster's.
"""

from __future__ import annotations

import json
from pathlib import Path

CODE = '''
"""Starts an ipykernel by itself and tells nobody its pid; it blocks where it likes, as many do."""
import json, os, shutil, signal, subprocess, sys, tempfile, time
from jupyter_client.provisioning import KernelProvisionerBase, LocalProvisioner
from traitlets import Unicode


class FarProvisioner(KernelProvisionerBase):
    site = Unicode("nowhere", config=True)
    process = None

    @property
    def has_process(self):
        return self.process is not None

    async def pre_launch(self, **kwargs):
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd, **kwargs):
        time.sleep(0.2)
        if self.site == "full":
            raise RuntimeError("no node is free")
        self.folder = tempfile.mkdtemp()
        file = os.path.join(self.folder, "kernel.json")  # where the kernel tells the ports that it has taken
        env = kwargs["env"] | {"FAR_SITE": self.site}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipykernel_launcher", "-f", file], env=env, start_new_session=True,
            stdout=kwargs["stdout"], stderr=kwargs["stderr"],
        )
        while not (info := self.told(file)):
            assert self.process.poll() is None, "it ended while it started"
            time.sleep(0.02)
        self.connection_info = info | {"key": info["key"].encode()}
        return self.connection_info

    def told(self, file):
        try:
            with open(file) as written:
                return json.load(written)
        except (OSError, ValueError):
            return None

    async def poll(self):
        return self.process.poll() if self.process else 0

    async def wait(self):
        return self.process.wait() if self.process else 0

    async def send_signal(self, signum):
        assert signum in (signal.SIGINT, signal.SIGTERM), signum
        os.killpg(self.process.pid, signum)

    async def kill(self, restart=False):
        self.process.kill()

    async def terminate(self, restart=False):
        self.process.terminate()

    async def cleanup(self, restart=False):
        if self.process:
            self.process.wait()
            shutil.rmtree(self.folder)
            with open(os.environ["FAR_LOG"], "a") as log:
                log.write("cleaned up\\n")


class NearProvisioner(LocalProvisioner):
    """As sudo or a container does: its kernel sees little of the environment that was meant for it."""

    async def launch_kernel(self, cmd, **kwargs):
        env = {name: value for name, value in kwargs.pop("env").items() if not name.startswith("RUNTIMED_")}
        return await super().launch_kernel(cmd, env=env, **kwargs)
'''


def install(folder: Path) -> dict[str, str]:
    """The variables by which it is found; ``FAR_LOG`` gets a line when a kernel of it is cleaned up."""
    site, data = folder / "site", folder / "jupyter"
    dist = site / "far_provisioner-1.0.dist-info"
    dist.mkdir(parents=True)
    (site / "far_provisioner.py").write_text(CODE)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: far-provisioner\nVersion: 1.0\n")
    group = "jupyter_client.kernel_provisioners"
    names = [f"{name.lower()}-provisioner = far_provisioner:{name}Provisioner" for name in ("Far", "Near")]
    (dist / "entry_points.txt").write_text("\n".join([f"[{group}]", *names, ""]))
    kernelspec(data, "far", provisioner="far-provisioner", config={"site": "moon"}, env={"FAR_KEY": "${HOME}/key"})
    kernelspec(data, "full", provisioner="far-provisioner", config={"site": "full"})
    kernelspec(data, "missing", provisioner="not-installed-provisioner")
    return {"PYTHONPATH": str(site), "JUPYTER_PATH": str(data), "FAR_LOG": str(folder / "far.log")}


def kernelspec(
    data: Path,
    name: str,
    *argv: str,
    provisioner: str | None = None,
    config: dict[str, str] | None = None,
    **more: object,
) -> None:
    """A kernel.json below a folder of JUPYTER_PATH."""
    folder = data / "kernels" / name
    folder.mkdir(parents=True)
    spec: dict[str, object] = {"argv": list(argv), "display_name": name.title(), "language": "python", **more}
    if provisioner:
        stanza = {"provisioner_name": provisioner, "config": config or {}}
        spec["metadata"] = {"kernel_provisioner": stanza}
    (folder / "kernel.json").write_text(json.dumps(spec))
