using System;
using System.Linq;
using System.Threading.Tasks;
using Daguerre.Worker;

/// <summary>What the cases share.</summary>
internal sealed class Kit
{
    internal string WorkerProgram { get; }
    internal string AdapterFile { get; }
    internal string Folder { get; }

    internal Kit(string program, string adapter, string folder)
    {
        WorkerProgram = program;
        AdapterFile = adapter;
        Folder = folder;
    }

    internal WorkerOptions Options() => new WorkerOptions { Program = WorkerProgram };

    /// <summary>A worker with the nano model.</summary>
    internal async Task<DaguerreWorker> Worker(WorkerOptions options = null)
    {
        var worker = await DaguerreWorker.StartAsync(options ?? Options());
        var model = await worker.LoadAsync(new { Model = "nano", Threads = 1 }, "nano");
        Check.Equal("nano", model.Name);
        Check.Equal("sdxl-base", model.Kind);
        Check.True(model.ParameterBytes > 1000000, "the model has weights");
        return worker;
    }

    internal static Job Job(long seed = 1, int steps = 2) =>
        new Job { Prompt = "a red circle on a blue background", Seed = seed, NumInferenceSteps = steps };

    /// <summary>A job that goes on until it is given up.</summary>
    internal static Job Long(int images = 1)
    {
        var job = Job(steps: 1000);
        job.NumImages = images;
        job.More["MaxBatch"] = 1;
        return job;
    }

    /// <summary>Starts a request and waits until it is computed.</summary>
    internal static async Task<Generation> Running(DaguerreWorker worker, Job job)
    {
        var running = new TaskCompletionSource<bool>();
        var request = worker.Generate(job, new Events(e =>
        {
            if (e is ProgressEvent progress && progress.Step > 0)
                running.TrySetResult(true);
        }));
        if (await Task.WhenAny(running.Task, request.Completion) == request.Completion)
            await request.Completion;
        return request;
    }
}

/// <summary>Comparisons that throw.</summary>
internal static class Check
{
    internal static void Equal<T>(T want, T got)
    {
        if (!Equals(want, got))
            throw new Exception("wanted " + want + ", got " + got);
    }

    internal static void True(bool holds, string what)
    {
        if (!holds)
            throw new Exception("does not hold: " + what);
    }

    internal static void Same(byte[] a, byte[] b, bool same, string what) => True(a.SequenceEqual(b) == same, what);

    internal static void Png(byte[] file) => True(file.Length > 100 && file[1] == 'P' && file[2] == 'N' && file[3] == 'G', "it is a PNG");

    internal static void Jpeg(byte[] file) => True(file.Length > 100 && file[0] == 0xff && file[1] == 0xd8, "it is a JPEG");

    /// <summary>Waits for a failure of a type.</summary>
    internal static async Task<E> Throws<E>(Task task) where E : Exception
    {
        try
        {
            await task;
        }
        catch (E e)
        {
            return e;
        }
        throw new Exception("no " + typeof(E).Name);
    }

    /// <summary>Waits for a failure with a code.</summary>
    internal static async Task<WorkerException> Fails(string code, int exitCode, Task task)
    {
        var e = await Throws<WorkerException>(task);
        Equal(code, e.Code);
        Equal(exitCode, e.ExitCode);
        True(e.Message.Length > 5, "there is a message");
        return e;
    }
}
