"""A script on the kernel of the notebook data-analysis-2024: what it runs shows there as a cell, for everybody."""

from runtimed.jupyter import RuntimedKernelManager

manager = RuntimedKernelManager(notebook_id="data-analysis-2024", env_source="uv:prewarmed")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
client.execute_interactive("total = sum(range(10)); print(total)")
client.stop_channels()
manager.shutdown_kernel()  # for us: the notebook keeps its kernel
