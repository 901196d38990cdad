using System;
using System.Collections.Generic;
using System.Threading.Tasks;

/// <summary>
/// Runs the client against a real worker. <c>Test</c> lists the cases; <c>Test CASE PROGRAM ADAPTER FOLDER</c> runs one, with the
/// program, an adapter of the nano model and an empty folder. The exit code is 0 if all is as it must be.
/// </summary>
internal static class Program
{
    private static readonly Dictionary<string, Func<Kit, Task>> cases = new Dictionary<string, Func<Kit, Task>>
    {
        ["hello"] = Pictures.Hello,
        ["pictures"] = Pictures.Events,
        ["files"] = Pictures.Files,
        ["batch"] = Pictures.Batch,
        ["casing"] = Pictures.Casing,
        ["threads"] = Pictures.Threads,
        ["adapters"] = Pictures.Adapters,
        ["errors"] = Failures.Errors,
        ["lines"] = Failures.Lines,
        ["cancel"] = Failures.Cancel,
        ["handler"] = Failures.Handler,
        ["restart"] = Ends.Restart,
        ["death"] = Ends.Death,
        ["shutdown"] = Ends.Shutdown,
        ["dispose"] = Ends.Dispose,
        ["start"] = Ends.Start,
    };

    private static int Main(string[] args)
    {
        if (args.Length == 0)
        {
            foreach (var name in cases.Keys)
                Console.WriteLine(name);
            return 0;
        }
        var run = cases[args[0]](new Kit(args[1], args[2], args[3]));
        if (!run.ContinueWith(t => { }).Wait(TimeSpan.FromSeconds(100)))
        {
            Console.Error.WriteLine("it has not ended after 100 seconds");
            return 1;
        }
        if (run.Exception == null)
            return 0;
        Console.Error.WriteLine(run.Exception.Flatten().InnerException);
        return 1;
    }
}
