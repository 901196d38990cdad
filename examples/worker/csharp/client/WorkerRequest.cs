using System;
using System.Threading;
using System.Threading.Tasks;
using Newtonsoft.Json.Linq;

namespace Daguerre.Worker
{
    /// <summary>One request on its way: tells its events in order, then ends.</summary>
    internal sealed class WorkerRequest
    {
        private readonly DaguerreWorker worker;
        private readonly IProgress<WorkerEvent> events;
        private readonly CancellationToken cancel;
        private readonly Serial telling = new Serial();
        private readonly TaskCompletionSource<JObject> completion = Daguerre.Worker.Completion.Source<JObject>();
        private CancellationTokenRegistration registration;
        private long line;

        internal WorkerRequest(DaguerreWorker worker, long id, IProgress<WorkerEvent> events, CancellationToken cancel)
        {
            this.worker = worker;
            this.events = events;
            this.cancel = cancel;
            Id = id;
            if (cancel.IsCancellationRequested)
                completion.TrySetCanceled();
        }

        internal long Id { get; }

        /// <summary>The number of the line it was written on; 0 until then.</summary>
        internal long Line
        {
            get => Interlocked.Read(ref line);
            set => Interlocked.Exchange(ref line, value);
        }

        /// <summary>Ends with the last event's fields, or as a failure.</summary>
        internal Task<JObject> Completion => completion.Task;

        /// <summary>Sends a cancel when the token is cancelled. Called after the request's own line is on its way.</summary>
        internal void CancelWithToken()
        {
            if (!cancel.CanBeCanceled)
                return;
            registration = cancel.Register(GiveUp);
            completion.Task.ContinueWith(_ => registration.Dispose(), TaskScheduler.Default);
        }

        private void GiveUp()
        {
            try
            {
                worker.Send("cancel", new { Target = Id }, null, null, CancellationToken.None).Completion.ContinueWith(t => t.Exception);
            }
            catch (ObjectDisposedException)
            {
                // it is given up with the worker
            }
        }

        internal void Take(WorkerEvent e)
        {
            if (e.Name == "done" || e.Name == "error")
                worker.Forget(Id);
            telling.Run(() =>
            {
                Tell(e);
                return Task.FromResult(true);
            });
        }

        private void Tell(WorkerEvent e)
        {
            try
            {
                events?.Report(e);
            }
            catch (Exception mistake) // the caller's: the request is of no use any more
            {
                if (completion.TrySetException(mistake) && e.Name != "done" && e.Name != "error")
                    GiveUp();
            }
            if (e.Name == "done")
                completion.TrySetResult(e.Data);
            else if (e.Name == "error")
                Fail(WorkerException.Of(e.Data));
        }

        internal void Fail(WorkerException e)
        {
            worker.Forget(Id);
            if (e.Code == "cancelled" && cancel.IsCancellationRequested)
                completion.TrySetCanceled();
            else
                completion.TrySetException(e);
        }
    }

    /// <summary>Does one thing after the other, in the order of the calls, on threads of the pool.</summary>
    internal sealed class Serial
    {
        private readonly object gate = new object();
        private Task tail = Task.FromResult(true);

        internal Task Run(Func<Task> work)
        {
            lock (gate)
                return tail = tail.ContinueWith(_ => work(), CancellationToken.None, TaskContinuationOptions.None,
                    TaskScheduler.Default).Unwrap();
        }
    }

    internal static class Completion
    {
        /// <summary>A task whose followers do not run on the thread that completes it.</summary>
        internal static TaskCompletionSource<T> Source<T>() =>
            new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
