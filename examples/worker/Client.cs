// A client of `daguerre worker` for .NET 8 or newer, without packages; see docs/worker.md.
//
//     dotnet new console -n Demo && cp Client.cs Demo/Program.cs && dotnet run --project Demo -- "a red circle on a blue background" out.png

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;

if (args.Length < 2)
{
    Console.Error.WriteLine("usage: Demo PROMPT OUTPUT [PROGRAM]");
    return 2;
}
try
{
    await using var worker = new DaguerreWorker(args.Length > 2 ? args[2] : "daguerre");
    await worker.CallAsync("load", new { Model = "nano", Name = "demo" });
    var job = new { Model = "demo", Prompt = args[0], Seed = 42, NumInferenceSteps = 20, Output = args[1] };
    await foreach (var e in worker.SendAsync("generate", job))
    {
        switch ((string?)e["Event"])
        {
            case "progress":
                Console.Error.WriteLine($"{e["Stage"]} {e["Step"]}/{e["Steps"]}");
                break;
            case "image":
                Console.WriteLine(e["Path"]);
                break;
        }
    }
    return 0;
}
catch (WorkerException e)
{
    Console.Error.WriteLine($"{e.Code}: {e.Message}");
    return e.ExitCode;
}

/// <summary>The last event of a request that failed.</summary>
public sealed class WorkerException(JsonObject e) : Exception((string?)e["Message"])
{
    public string Code => (string?)e["Code"] ?? "";
    public int ExitCode => (int?)e["ExitCode"] ?? 1;
    public JsonArray? Fields => e["Fields"] as JsonArray;
}

/// <summary>Runs <c>daguerre worker --supervise</c>. Requests may be made from any thread. Keys are in PascalCase, and so are those of the answers.</summary>
public sealed class DaguerreWorker : IAsyncDisposable
{
    private readonly Process process;
    private readonly Task reading;
    private readonly SemaphoreSlim writing = new(1, 1);
    private readonly ConcurrentDictionary<long, Channel<JsonObject>> waiting = new();
    private long lastId;

    public DaguerreWorker(string program)
    {
        process = Process.Start(new ProcessStartInfo(program, ["worker", "--supervise"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            StandardInputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false),
            StandardOutputEncoding = Encoding.UTF8,
        })!;
        reading = Task.Run(ReadAsync); // all the time: a client that only writes would fill the pipes
    }

    private async Task ReadAsync()
    {
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            var e = JsonNode.Parse(line)!.AsObject();
            if (e["Id"] is JsonValue id && id.TryGetValue(out long key) && waiting.TryGetValue(key, out var channel))
                channel.Writer.TryWrite(e);
        }
        foreach (var channel in waiting.Values)
            channel.Writer.TryComplete();
    }

    /// <summary>Sends a request and yields its events up to "done"; an "error" is thrown.</summary>
    public async IAsyncEnumerable<JsonObject> SendAsync(string type, object request, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        var id = Interlocked.Increment(ref lastId);
        var events = waiting[id] = Channel.CreateUnbounded<JsonObject>();
        try
        {
            await WriteAsync(new { Id = id, Type = type, Request = request });
            await using var _ = cancel.Register(() => _ = WriteAsync(new { Id = Interlocked.Increment(ref lastId), Type = "cancel", Request = new { Target = id } }));
            await foreach (var e in events.Reader.ReadAllAsync(CancellationToken.None))
            {
                if ((string?)e["Event"] == "error")
                    throw new WorkerException(e);
                yield return e;
                if ((string?)e["Event"] == "done")
                    yield break;
            }
            throw new InvalidOperationException("the worker has ended");
        }
        finally
        {
            waiting.TryRemove(id, out _);
        }
    }

    /// <summary>Sends a request and returns its "done".</summary>
    public async Task<JsonObject> CallAsync(string type, object request, CancellationToken cancel = default)
    {
        JsonObject last = [];
        await foreach (var e in SendAsync(type, request, cancel))
            last = e;
        return last;
    }

    private async Task WriteAsync(object message)
    {
        await writing.WaitAsync();
        try
        {
            await process.StandardInput.WriteLineAsync(JsonSerializer.Serialize(message));
            await process.StandardInput.FlushAsync();
        }
        finally
        {
            writing.Release();
        }
    }

    /// <summary>Lets the worker finish what it has and waits for its end.</summary>
    public async ValueTask DisposeAsync()
    {
        process.StandardInput.Close();
        await reading;
        await process.WaitForExitAsync();
        process.Dispose();
    }
}
