"""An agent's half of "JupyterLab beside an agent": over MCP it works in the kernel of data-analysis-2024."""

import asyncio
import os

from mcp import Client, StdioServerParameters


async def main() -> None:
    server = StdioServerParameters(command="runtimed-mcp", env=dict(os.environ))
    async with Client(server) as agent:
        await agent.call_tool("connect_notebook", {"notebook_id": "data-analysis-2024"})
        ran = await agent.call_tool("run_code", {"code": "print(total * 2)"})  # a variable of JupyterLab's
        print(ran.structured_content["stdout"], end="")


asyncio.run(main())
