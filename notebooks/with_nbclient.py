"""nbclient executes parameters.ipynb on a kernel in the daemon, which ends with this script."""

import nbformat
from nbclient import NotebookClient

from runtimed.jupyter import AsyncRuntimedKernelManager

notebook = nbformat.read("parameters.ipynb", as_version=4)
NotebookClient(notebook, kernel_manager_class=AsyncRuntimedKernelManager).execute()
print(notebook.cells[-1].outputs[0].text, end="")
