using System;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace Daguerre.Worker
{
    /// <summary>
    /// A running <c>daguerre worker</c>. All methods may be called from any thread, and lines are written in the order of the calls.
    /// Requests are computed one after the other, or together where they share a model.
    /// </summary>
    public sealed class DaguerreWorker : IDisposable
    {
        private static readonly UTF8Encoding utf8 = new UTF8Encoding(false);
        private readonly WorkerOptions options;
        private readonly Process process;
        private readonly Stream input;
        private readonly Serial writing = new Serial();
        private readonly Serial notices = new Serial();
        private readonly ConcurrentDictionary<long, WorkerRequest> requests = new ConcurrentDictionary<long, WorkerRequest>();
        private readonly TaskCompletionSource<WorkerHello> hello = Completion.Source<WorkerHello>();
        private readonly TaskCompletionSource<int> exited = Completion.Source<int>();
        private long lastId;
        private long lines;
        private volatile bool ending;
        private volatile bool inputClosed;
        private int disposed;

        /// <summary>What the worker cannot tell a request: it was started again (<see cref="RestartedEvent"/>), or a warning. In order, on
        /// a thread of the pool.</summary>
        public event EventHandler<WorkerEvent> Notified;

        /// <summary>What the worker said of itself when it began.</summary>
        public WorkerHello Hello => hello.Task.Result;

        /// <summary>Ends when the process has ended, with its exit code: 0 after a shutdown, 130 where it was interrupted.</summary>
        public Task<int> Exited => exited.Task;

        private DaguerreWorker(WorkerOptions options)
        {
            this.options = options;
            var start = new ProcessStartInfo(options.Program, options.Arguments())
            {
                UseShellExecute = false,
                CreateNoWindow = true,
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                StandardOutputEncoding = utf8,
                RedirectStandardError = options.Log != null,
            };
            if (options.Log != null)
                start.StandardErrorEncoding = utf8;
            if (options.WorkingDirectory != null)
                start.WorkingDirectory = options.WorkingDirectory;
            foreach (var pair in options.Environment)
                start.EnvironmentVariables[pair.Key] = pair.Value;
            process = new Process { StartInfo = start };
            if (options.Log != null)
                process.ErrorDataReceived += (sender, e) => { if (e.Data != null) options.Log(e.Data); };
            process.Start();
            if (options.Log != null)
                process.BeginErrorReadLine();
            input = process.StandardInput.BaseStream; // bytes: .NET Framework would write in the console's encoding
            Task.Factory.StartNew(Read, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }

        /// <summary>Starts a worker and waits until it speaks.</summary>
        /// <exception cref="System.ComponentModel.Win32Exception">The program cannot be started.</exception>
        /// <exception cref="WorkerException">The program ended before it said hello.</exception>
        public static async Task<DaguerreWorker> StartAsync(WorkerOptions options = null,
            CancellationToken cancel = default(CancellationToken))
        {
            cancel.ThrowIfCancellationRequested();
            var worker = new DaguerreWorker(options ?? new WorkerOptions());
            using (cancel.Register(() => worker.hello.TrySetCanceled()))
            {
                try
                {
                    await worker.hello.Task.ConfigureAwait(false);
                }
                catch
                {
                    worker.Kill();
                    worker.Dispose();
                    throw;
                }
            }
            return worker;
        }

        /// <summary>Opens a model, so that the first request need not wait for it.</summary>
        /// <param name="model">A path, "nano", or an object with the keys of docs/configuration.md, as
        /// <c>new { Model = "...", Threads = 4 }</c>.</param>
        /// <param name="name">What requests call it; its path where it is null.</param>
        /// <param name="cancel">Gives the request up.</param>
        public async Task<LoadedModel> LoadAsync(object model, string name = null, CancellationToken cancel = default(CancellationToken))
        {
            var result = await CallAsync("load", new { Model = model, Name = name }, null, cancel).ConfigureAwait(false);
            return result.ToObject<LoadedModel>();
        }

        /// <summary>Closes a model when the requests for it are done: the one with the name, or the one that was used last.</summary>
        public Task UnloadAsync(string name = null, CancellationToken cancel = default(CancellationToken)) =>
            CallAsync("unload", new { Name = name }, null, cancel);

        /// <summary>Asks for pictures. The answer has the request's id, so that it can be cancelled and its adapters changed.</summary>
        /// <param name="job">A <see cref="Job"/>, or any object with the keys of docs/configuration.md in snake_case, camelCase or
        /// PascalCase.</param>
        /// <param name="events">Is told every event, in order, on a thread of the pool; <see cref="Events"/> makes one of a method.</param>
        /// <param name="delivery">How pictures come, and when; may be null.</param>
        /// <param name="cancel">Gives the request up; its task is cancelled then.</param>
        public Generation Generate(object job, IProgress<WorkerEvent> events = null, Delivery delivery = null,
            CancellationToken cancel = default(CancellationToken)) => new Generation(this, "generate", job, events, delivery, cancel);

        /// <summary>Makes pictures; see <see cref="Generate"/>.</summary>
        /// <exception cref="WorkerException">No picture could be made.</exception>
        /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
        public Task<GenerationResult> GenerateAsync(object job, IProgress<WorkerEvent> events = null, Delivery delivery = null,
            CancellationToken cancel = default(CancellationToken)) => Generate(job, events, delivery, cancel).Completion;

        /// <summary>Asks for all jobs of a run file: an object with Jobs, and what they have in common beside them.</summary>
        public Generation Batch(object run, IProgress<WorkerEvent> events = null, Delivery delivery = null,
            CancellationToken cancel = default(CancellationToken)) => new Generation(this, "batch", run, events, delivery, cancel);

        /// <summary>Sends a request of any type of docs/worker.md and returns its result, with keys in PascalCase.</summary>
        public async Task<JObject> CallAsync(string type, object request = null, IProgress<WorkerEvent> events = null,
            CancellationToken cancel = default(CancellationToken))
        {
            var done = await Send(type, request, events, null, cancel).Completion.ConfigureAwait(false);
            return done["Result"] as JObject ?? new JObject();
        }

        /// <summary>Gives up a request and returns how many were given up: 0 where it had ended.</summary>
        public async Task<int> CancelAsync(long request) =>
            Cancelled(await CallAsync("cancel", new { Target = request }).ConfigureAwait(false));

        /// <summary>Gives up every request.</summary>
        public async Task<int> CancelAllAsync() => Cancelled(await CallAsync("cancel", new { All = true }).ConfigureAwait(false));

        private static int Cancelled(JObject result) => (int?)result["Cancelled"] ?? 0;

        /// <summary>Ends the worker, when all requests have ended (drain) or after giving them up, and returns its exit code. Until
        /// then unfinished ones can be cancelled and changed; new ones fail with the code "shutting_down".</summary>
        public async Task<int> ShutdownAsync(bool drain = true)
        {
            ending = true;
            while (drain && !requests.IsEmpty)
                await Task.WhenAll(requests.Values.Select(r => r.Completion)).ContinueWith(t => t.Exception).ConfigureAwait(false);
            try
            {
                await CallAsync("shutdown", new { Mode = drain ? "drain" : "cancel" }).ConfigureAwait(false);
            }
            catch (WorkerException)
            {
                // it is ending already, or has ended
            }
            await CloseInput().ConfigureAwait(false);
            return await exited.Task.ConfigureAwait(false);
        }

        /// <summary>Gives up what is unfinished and ends the process; one that is not ended after
        /// <see cref="WorkerOptions.ExitTimeout"/> is killed.</summary>
        public void Dispose()
        {
            if (Interlocked.Exchange(ref disposed, 1) != 0)
                return;
            if (!exited.Task.IsCompleted)
            {
                if (!ShutdownAsync(drain: false).ContinueWith(t => t.Exception).Wait(options.ExitTimeout))
                    Kill();
                exited.Task.Wait();
            }
            process.Dispose();
        }

        internal WorkerRequest Send(string type, object request, IProgress<WorkerEvent> events, Delivery delivery, CancellationToken cancel)
        {
            if (disposed != 0 && type != "shutdown")
                throw new ObjectDisposedException(nameof(DaguerreWorker));
            var sent = new WorkerRequest(this, Interlocked.Increment(ref lastId), events, cancel);
            if (sent.Completion.IsCompleted)
                return sent; // the token was cancelled before
            if (ending && (type == "generate" || type == "batch" || type == "load"))
            {
                sent.Fail(new WorkerException("shutting_down", "the worker ends and takes no more requests", 130));
                return sent;
            }
            var message = new JObject { ["Id"] = sent.Id, ["Type"] = type, ["Request"] = Json.Write(request ?? new object()) };
            if (delivery != null)
                delivery.AddTo(message);
            var line = utf8.GetBytes(message.ToString(Formatting.None) + "\n");
            requests[sent.Id] = sent;
            writing.Run(() => Write(sent, line));
            sent.CancelWithToken();
            return sent;
        }

        internal void Forget(long id) => requests.TryRemove(id, out _);

        private async Task Write(WorkerRequest request, byte[] line)
        {
            try
            {
                if (inputClosed)
                    throw new IOException("the worker takes no more requests");
                request.Line = ++lines;
                await input.WriteAsync(line, 0, line.Length).ConfigureAwait(false);
                await input.FlushAsync().ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException || e is ObjectDisposedException)
            {
                request.Fail(ending
                    ? new WorkerException("shutting_down", e.Message, 130, e)
                    : new WorkerException("worker_died", e.Message, 5, e));
            }
        }

        private Task CloseInput() => writing.Run(() =>
        {
            inputClosed = true;
            try
            {
                input.Dispose();
            }
            catch (IOException)
            {
                // it has ended
            }
            return Task.FromResult(true);
        });

        // Read reads all the time: a client that only writes would fill the pipes, and both would wait for ever.
        private void Read()
        {
            string reason = null;
            try
            {
                for (string line; (line = process.StandardOutput.ReadLine()) != null;)
                    Take(Json.Read(line));
            }
            catch (Exception e) // a line that is not JSON: another program, or another protocol
            {
                reason = "its output was not understood: " + e.Message;
                Kill();
            }
            process.WaitForExit();
            var code = process.ExitCode;
            exited.TrySetResult(code);
            var message = "the worker has ended with exit code " + code + (reason == null ? "" : "; " + reason);
            var died = new WorkerException("worker_died", message, 5);
            hello.TrySetException(died);
            foreach (var request in requests.Values.ToList())
                request.Fail(died);
        }

        private void Take(JObject data)
        {
            var e = WorkerEvent.Of(data);
            var id = data["Id"];
            if (id != null && id.Type == JTokenType.Integer)
            {
                if (requests.TryGetValue((long)id, out var request))
                    request.Take(e);
            }
            else if (e.Name == "hello")
            {
                hello.TrySetResult(data.ToObject<WorkerHello>());
            }
            else if (e.Name == "error" && requests.Values.FirstOrDefault(r => r.Line == (long?)data["Line"]) is WorkerRequest refused)
            {
                refused.Take(e); // its line was not taken for a request: it is too long, or no JSON
            }
            else
            {
                notices.Run(() =>
                {
                    Notified?.Invoke(this, e);
                    return Task.FromResult(true);
                });
            }
        }

        private void Kill()
        {
            try
            {
                process.Kill();
            }
            catch (Exception e) when (e is InvalidOperationException || e is System.ComponentModel.Win32Exception)
            {
                // it has ended
            }
        }
    }
}
