"""What Flask-MonitoringDashboard 5.1.0's documentation shows, word for word (MIT licence).

From its pages "Installation", "Configuration" and "Detailed Functionality", and the config.cfg
that is shipped with it.
"""

INSTALLATION = """
from flask import Flask
import flask_monitoringdashboard as dashboard

app = Flask(__name__)
dashboard.bind(app)

...

@app.route('/')
def index():
    return 'Hello World!'

if __name__ == '__main__':
  app.run(debug=True)
"""

#: The one in its README.
README = """
from flask import Flask
import flask_monitoringdashboard as dashboard

app = Flask(__name__)

@app.route("/test")
def test():
    return 'ok'

dashboard.bind(app) # Should be added after all endpoints have been defined
app.run()
"""

CONFIGURATION = """
from flask import Flask
import flask_monitoringdashboard as dashboard

app = Flask(__name__)
dashboard.config.init_from(file='/<path to file>/config.cfg')
# Make sure that you first configure the dashboard, before binding it to your Flask application
dashboard.bind(app)
...

@app.route('/')
def index():
    return 'Hello World!'

if __name__ == '__main__':
  app.run(debug=True)
"""
ENVIRONMENT = "dashboard.config.init_from(envvar='FLASK_MONITORING_DASHBOARD_CONFIG')"

CONFIG_CFG = """
[dashboard]
APP_VERSION=1.0
GIT=/<path to your project>/.git/
CUSTOM_LINK=dashboard
MONITOR_LEVEL=3
OUTLIER_DETECTION_CONSTANT=2.5
SAMPLING_PERIOD=20
ENABLE_LOGGING=True
BRAND_NAME=Flask Monitoring Dashboard
TITLE_NAME=Flask-MonitoringDashboard
DESCRIPTION=Automatically monitor the evolving performance of Flask/Python web services
SHOW_LOGIN_BANNER=True
SHOW_LOGIN_FOOTER=True

[authentication]
USERNAME=admin
PASSWORD=admin
SECURITY_TOKEN=cc83733cb0af8b884ff6577086b87909

[database]
TABLE_PREFIX=fmd
DATABASE=sqlite:////<path to your project>/dashboard.db

[visualization]
TIMEZONE=Europe/Amsterdam
COLORS={'main':'[0,97,255]',
        'static':'[255,153,0]'}

[alerting]
ENABLED=False
TYPE=email
#TYPE=email,issue,chat
"""

#: The file in its source distribution.
SHIPPED_CONFIG_CFG = """[dashboard]
APP_VERSION=1.0
GIT=/<path to your project>/.git/
BLUEPRINT_NAME=dashboard
CUSTOM_LINK=dashboard
MONITOR_LEVEL=1
OUTLIER_DETECTION_CONSTANT=2.5
BRAND_NAME=Flask Monitoring Dashboard
TITLE_NAME=Flask-MonitoringDashboard
DESCRIPTION=Automatically monitor the evolving performance of Flask/Python web services
SHOW_LOGIN_BANNER=True
SHOW_LOGIN_FOOTER=True

[authentication]
USERNAME=admin
PASSWORD=admin
GUEST_USERNAME=guest
GUEST_PASSWORD=['dashboardguest!', 'second_pw!']
SECURITY_TOKEN=cc83733cb0af8b884ff6577086b87909

[database]
DATABASE=sqlite:////<path to your project>/dashboard.db

[visualization]
TIMEZONE=Europe/Amsterdam
COLORS={'main':'[0,97,255]',
        'static':'[255,153,0]'}

[alerting]
ENABLED=False
TYPE=email
#TYPE=email,issue,chat
"""

GROUP_BY = """
from flask import Flask
import flask_monitoringdashboard as dashboard

app = Flask(__name__)
dashboard.config.init_from(file='/<path to file>/config.cfg')

def get_user_id():
    return '1234'  # replace with a function to retrieve the id of the
                   # user within a request.

dashboard.config.group_by = get_user_id
dashboard.bind(app)

@app.route('/')
def index():
    return 'Hello World!'

if __name__ == '__main__':
    app.run(debug=True)
"""

#: Its table of valid examples, and what each is to give.
GROUP_BY_TABLE = {
    "dashboard.config.group_by = lambda: 3": "3",
    "dashboard.config.group_by = lambda: ('User', 3)": "(User,3)",
    "dashboard.config.group_by = lambda: lambda: 3": "3",
    "dashboard.config.group_by = ('User', lambda: 3)": "(User,3)",
    "dashboard.config.group_by = lambda: 'username'": "username",
    "dashboard.config.group_by = lambda: ['Username', 'username']": "(Username,username)",
    "dashboard.config.group_by = lambda: [('User', lambda: 3), ('Username', lambda: 'username')]": (
        "((User,3),(Username,username))"
    ),
}

#: A result that is no text, from the same page.
GROUP_BY_NUMBER = """
def get_user_id():
    return 1234  # replace with a function to retrieve the id of the
                   # user within a request.

dashboard.config.group_by = get_user_id
# Note that the function itself is passed, not the result of the function.
"""

#: Inside of a view. Its own code has no such name, only ``capture``.
CAPTURE = """
from flask_monitoringdashboard import capture_exception

try:
    # Your code that might raise an exception
    result = risky_operation()
except ValueError as e:
    capture_exception(e)  # Manually capture with stack trace
    # Handle the error gracefully
    return "An error occurred", 400
"""
#: The same in its README.
CAPTURE_IN_README = """
try:
    # Your code
except Exception as e:
    dashboard.capture(e)  # Logs exception with stack trace for debugging
"""

PRUNING = """
weeks_to_keep = 8
delete_custom_graph_data = True
pruning_cron_schedule = {'month':"*/2",
                        'day': 1,
                        'hour': 3,
                        'minute': 0,
                        'second': 0}

dashboard.add_database_pruning_schedule(weeks_to_keep, delete_custom_graph_data, **pruning_cron_schedule)
"""  # noqa: E501

IP = """
from flask import request
print(request.environ['REMOTE_ADDR'])
"""
