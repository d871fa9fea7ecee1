"""The calls of the services this client uses."""

from __future__ import annotations

from coord.client.transport.channel import ClientMethod as Method
from coord.pb import cluster_pb2 as cluster
from coord.pb import etcd_rpc_pb2 as etcd
from coord.pb import lock_pb2 as lock
from coord.pb import session_pb2 as session
from coord.pb import task_pb2 as task

_S = "/coord.v1.Sessions/"
OPEN_SESSION = Method(_S + "Open", session.OpenSessionRequest, session.OpenSessionResponse)
KEEP_ALIVE = Method(_S + "KeepAlive", session.KeepAliveRequest, session.KeepAliveResponse)
CLOSE_SESSION = Method(_S + "Close", session.CloseSessionRequest, session.CloseSessionResponse)
LIST_SESSIONS = Method(
    _S + "List", session.ListSessionsRequest, session.ListSessionsResponse, alone=True
)

_T = "/coord.v1.Tasks/"
SUBMIT = Method(_T + "Submit", task.SubmitRequest, task.SubmitResponse)
CLAIM = Method(_T + "Claim", task.ClaimRequest, task.ClaimResponse)
HEARTBEAT = Method(_T + "Heartbeat", task.HeartbeatRequest, task.HeartbeatResponse)
COMPLETE = Method(_T + "Complete", task.CompleteRequest, task.CompleteResponse)
FAIL = Method(_T + "Fail", task.FailRequest, task.FailResponse)
RELEASE = Method(_T + "Release", task.ReleaseRequest, task.ReleaseResponse)
GET_TASK = Method(_T + "Get", task.GetTaskRequest, task.GetTaskResponse)
WAIT_TASKS = Method(_T + "Wait", task.WaitTasksRequest, task.WaitTasksResponse, alone=True)
LIST_TASKS = Method(_T + "List", task.ListTasksRequest, task.ListTasksResponse, alone=True)
CANCEL_TASK = Method(_T + "Cancel", task.CancelTaskRequest, task.CancelTaskResponse)
RETRY_TASK = Method(_T + "Retry", task.RetryTaskRequest, task.RetryTaskResponse)
REDRIVE = Method(_T + "Redrive", task.RedriveRequest, task.RedriveResponse)
EXPLAIN = Method(_T + "Explain", task.ExplainTaskRequest, task.ExplainTaskResponse)
LIST_QUEUES = Method(_T + "ListQueues", task.ListQueuesRequest, task.ListQueuesResponse, alone=True)
PAUSE_QUEUE = Method(_T + "PauseQueue", task.PauseQueueRequest, task.PauseQueueResponse)
SET_QUEUE = Method(_T + "SetQueue", task.SetQueueRequest, task.SetQueueResponse)
DELETE_QUEUE = Method(_T + "DeleteQueue", task.DeleteQueueRequest, task.DeleteQueueResponse)

_L = "/coord.v1.Locks/"
ACQUIRE = Method(_L + "Acquire", lock.AcquireLockRequest, lock.AcquireLockResponse)
RELEASE_LOCK = Method(_L + "Release", lock.ReleaseLockRequest, lock.ReleaseLockResponse)
REFRESH = Method(_L + "Refresh", lock.RefreshLockRequest, lock.RefreshLockResponse)
GET_LOCK = Method(_L + "Get", lock.GetLockRequest, lock.GetLockResponse)
LIST_LOCKS = Method(_L + "List", lock.ListLocksRequest, lock.ListLocksResponse, alone=True)

_C = "/coord.v1.Cluster/"
STATUS = Method(_C + "Status", cluster.StatusRequest, cluster.StatusResponse, alone=True)
NODE_STATUS = Method(
    _C + "NodeStatus", cluster.NodeStatusRequest, cluster.NodeStatusResponse, alone=True
)
NODE_DIGEST = Method(
    _C + "NodeDigest", cluster.NodeDigestRequest, cluster.NodeDigestResponse, alone=True
)
TRANSFER = Method(
    _C + "TransferLeader",
    cluster.TransferLeaderRequest,
    cluster.TransferLeaderResponse,
    alone=True,
)
GET_LEVEL = Method(_C + "GetLevel", cluster.GetLevelRequest, cluster.LevelResponse, alone=True)
RAISE_LEVEL = Method(
    _C + "RaiseLevel", cluster.RaiseLevelRequest, cluster.LevelResponse, alone=True
)
GET_QUOTA = Method(_C + "GetQuota", cluster.GetQuotaRequest, cluster.QuotaResponse, alone=True)
SET_QUOTA = Method(_C + "SetQuota", cluster.SetQuotaRequest, cluster.QuotaResponse, alone=True)
LIST_MEMBERS = Method(
    _C + "ListMembers", cluster.ListMembersRequest, cluster.MembersResponse, alone=True
)
ADD_MEMBER = Method(_C + "AddMember", cluster.AddMemberRequest, cluster.MembersResponse, alone=True)
PROMOTE_MEMBER = Method(
    _C + "PromoteMember", cluster.PromoteMemberRequest, cluster.MembersResponse, alone=True
)
REMOVE_MEMBER = Method(
    _C + "RemoveMember", cluster.RemoveMemberRequest, cluster.MembersResponse, alone=True
)

_K = "/etcdserverpb.KV/"
GET_KEY = Method(_K + "Range", etcd.RangeRequest, etcd.RangeResponse)
RANGE = Method(_K + "Range", etcd.RangeRequest, etcd.RangeResponse, alone=True)
PUT = Method(_K + "Put", etcd.PutRequest, etcd.PutResponse)
DELETE_RANGE = Method(_K + "DeleteRange", etcd.DeleteRangeRequest, etcd.DeleteRangeResponse)
TXN = Method(_K + "Txn", etcd.TxnRequest, etcd.TxnResponse)
COMPACT = Method(_K + "Compact", etcd.CompactionRequest, etcd.CompactionResponse)
