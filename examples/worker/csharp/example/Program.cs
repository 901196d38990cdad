using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using Daguerre.Worker;

/// <summary>Makes a picture with the embedded model: <c>Example PROMPT OUTPUT [PROGRAM]</c>. Ctrl-C gives it up.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        if (args.Length < 2)
        {
            Console.Error.WriteLine("usage: Example PROMPT OUTPUT [PROGRAM]");
            return 2;
        }
        var stop = new CancellationTokenSource();
        Console.CancelKeyPress += (sender, e) =>
        {
            e.Cancel = true; // the worker gets Ctrl-C as well, and answers
            stop.Cancel();
        };
        try
        {
            Make(args[0], args[1], args.Length > 2 ? args[2] : "daguerre", stop.Token).GetAwaiter().GetResult();
            return 0;
        }
        catch (OperationCanceledException)
        {
            return 130;
        }
        catch (WorkerException e)
        {
            Console.Error.WriteLine(e.Code + ": " + e.Message);
            return e.ExitCode;
        }
    }

    private static async Task Make(string prompt, string output, string program, CancellationToken cancel)
    {
        using (var worker = await DaguerreWorker.StartAsync(new WorkerOptions { Program = program }, cancel))
        {
            await worker.LoadAsync("nano", "demo", cancel);
            var job = new Job { Model = "demo", Prompt = prompt, Seed = 42, NumInferenceSteps = 20, Output = Path.GetFullPath(output) };
            var result = await worker.GenerateAsync(job, new Events(Tell), cancel: cancel);
            foreach (var image in result.Images)
                Console.WriteLine(image.Path);
            await worker.ShutdownAsync();
        }
    }

    private static void Tell(WorkerEvent e)
    {
        if (e is ProgressEvent progress)
            Console.Error.WriteLine(progress.Stage + " " + progress.Step + "/" + progress.Steps);
        else if (e is WarningEvent warning)
            Console.Error.WriteLine("warning: " + warning.Message);
    }
}
