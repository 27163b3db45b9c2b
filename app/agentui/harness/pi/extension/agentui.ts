// Loaded into Pi by agentui. Pi thinks; whoever speaks RPC with it executes and decides:
//   agentui.exec  one bash command. The answer is what the model gets of it.
//   agentui.gate  after the commands of a turn, before the next request. Unanswered, Pi stands still.
import type { ExtensionAPI } from "@earendil-works/pi-coding-agent";

function ask(ctx: any, title: string, question: object, signal?: AbortSignal): Promise<string | undefined> {
  return ctx.ui.input(title, JSON.stringify(question), signal ? { signal } : undefined);
}

export default function (pi: ExtensionAPI) {
  pi.registerTool({
    name: "bash",
    label: "bash",
    description: "Run one command line with bash in the project and get its output and exit code.",
    parameters: {
      type: "object",
      properties: {
        command: { type: "string", description: "The command line." },
        timeout: { type: "number", description: "Seconds until it is killed; optional." },
      },
      required: ["command"],
    } as any,
    async execute(id: string, params: any, signal: AbortSignal | undefined, _onUpdate: any, ctx: any) {
      const question = { id, command: params.command, timeout: params.timeout };
      const answer = await ask(ctx, "agentui.exec", question, signal);
      if (answer === undefined) throw new Error("Command aborted");
      const result = JSON.parse(answer);
      if (result.is_error) throw new Error(result.text);
      return { content: [{ type: "text", text: result.text }], details: {} };
    },
  } as any);

  // The user's own commands go through agentui too; nothing runs where Pi runs.
  pi.on("user_bash", () => ({
    result: { output: "agentui runs commands itself", exitCode: 126, cancelled: false, truncated: false },
  }));

  // Where Pi stands says nothing of where commands run.
  pi.on("before_agent_start", (event: any) => {
    event.systemPromptOptions.cwd = ".";
  });

  pi.on("turn_end", async (event: any, ctx: any) => {
    if (event.toolResults.length === 0) return;
    await ask(ctx, "agentui.gate", { turn: event.turnIndex }, ctx.signal);
  });
}
